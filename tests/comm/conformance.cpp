#include "tests/comm/conformance.h"
#include <algorithm>
#include "tests/support/reference.h"

namespace tests {
namespace {

using comm::Communicator;
using comm::Counts;
using comm::Reduce;
using core::Dtype;
using core::Tensor;

/// Element `i` of the data of rank `rank` in test `test`: integers that every dtype represents, so
/// that sums are exact and need no tolerance.
double element(int test, int rank, int64_t i) {
  return static_cast<double>((7 * i + 13 * rank + 5 * test + 3) % 31);
}

Tensor filled(core::Device& device, core::Shape const& shape, Dtype dtype,
              std::vector<double> const& values) {
  return core::visit(dtype, [&]<class T>() { return tensor<T>(device, shape, values); });
}

std::vector<double> elements(int test, int rank, int64_t begin, int64_t end) {
  std::vector<double> all;
  for (int64_t i = begin; i < end; ++i) all.push_back(element(test, rank, i));
  return all;
}

/// An output tensor filled with values that the collective must overwrite.
Tensor garbage(core::Device& device, core::Shape const& shape, Dtype dtype) {
  return filled(device, shape, dtype,
                std::vector<double>(static_cast<size_t>(core::count(shape)), 77));
}

/// Uneven row counts: 3, 0, 7, 1, ...
Counts uneven(int ranks) {
  Counts counts;
  for (int r = 0; r < ranks; ++r)
    counts.push_back(std::array{3, 0, 7, 1}[static_cast<size_t>(r % 4)]);
  return counts;
}

void check_all_reduce(Communicator& ranks, core::Device& device, Dtype dtype, int64_t count) {
  for (Reduce const how : {Reduce::sum, Reduce::max}) {
    Tensor t = filled(device, {count}, dtype, elements(1, ranks.rank(), 0, count));
    ranks.all_reduce(t, how)->wait();
    std::vector<double> expected(static_cast<size_t>(count), 0);
    for (int r = 0; r < ranks.size(); ++r)
      for (int64_t i = 0; i < count; ++i) {
        double& e = expected[static_cast<size_t>(i)];
        e = how == Reduce::sum ? e + element(1, r, i) : std::max(e, element(1, r, i));
      }
    CHECK(values(t) == expected);
  }
}

void check_all_gather(Communicator& ranks, core::Device& device, Dtype dtype,
                      Counts const& counts) {
  int64_t const width = 3, own = counts[static_cast<size_t>(ranks.rank())];
  Tensor const mine =
      filled(device, {own, width}, dtype, elements(2, ranks.rank(), 0, own * width));
  Tensor all = garbage(device, {comm::begin_of(counts, ranks.size()), width}, dtype);
  ranks.all_gather(mine, counts, all)->wait();
  std::vector<double> expected;
  for (int r = 0; r < ranks.size(); ++r)
    for (double const e : elements(2, r, 0, counts[static_cast<size_t>(r)] * width))
      expected.push_back(e);
  CHECK(values(all) == expected);
}

void check_stacked_all_gather(Communicator& ranks, core::Device& device) {
  Tensor const mine = filled(device, {2, 3}, Dtype::f32, elements(3, ranks.rank(), 0, 6));
  Tensor all = garbage(device, {ranks.size(), 2, 3}, Dtype::f32);
  ranks.all_gather(mine, all)->wait();
  std::vector<double> expected;
  for (int r = 0; r < ranks.size(); ++r)
    for (double const e : elements(3, r, 0, 6)) expected.push_back(e);
  CHECK(values(all) == expected);
}

void check_reduce_scatter(Communicator& ranks, core::Device& device, Dtype dtype,
                          Counts const& counts) {
  int64_t const width = 5, own = counts[static_cast<size_t>(ranks.rank())];
  int64_t const rows = comm::begin_of(counts, ranks.size());
  Tensor const all =
      filled(device, {rows, width}, dtype, elements(4, ranks.rank(), 0, rows * width));
  Tensor mine = garbage(device, {own, width}, dtype);
  ranks.reduce_scatter(all, counts, mine)->wait();
  int64_t const begin = comm::begin_of(counts, ranks.rank()) * width;
  std::vector<double> expected(static_cast<size_t>(own * width), 0);
  for (int r = 0; r < ranks.size(); ++r)
    for (int64_t i = 0; i < own * width; ++i)
      expected[static_cast<size_t>(i)] += element(4, r, begin + i);
  CHECK(values(mine) == expected);
  CHECK(values(all) == elements(4, ranks.rank(), 0, rows * width));  // not modified
}

/// Rank `from` sends (from + 2 to) % 4 rows to rank `to`.
int64_t rows_sent(int from, int to) { return (from + 2 * to) % 4; }

void check_all_to_all(Communicator& ranks, core::Device& device, Dtype dtype) {
  int64_t const width = 2;
  Counts send, receive;
  std::vector<double> out, expected;
  for (int r = 0; r < ranks.size(); ++r) {
    send.push_back(rows_sent(ranks.rank(), r));
    receive.push_back(rows_sent(r, ranks.rank()));
    for (double const e : elements(10 + r, ranks.rank(), 0, send.back() * width)) out.push_back(e);
    for (double const e : elements(10 + ranks.rank(), r, 0, receive.back() * width))
      expected.push_back(e);
  }
  Tensor const from = filled(device, {comm::begin_of(send, ranks.size()), width}, dtype, out);
  Tensor to = garbage(device, {comm::begin_of(receive, ranks.size()), width}, dtype);
  ranks.all_to_all(from, send, to, receive)->wait();
  CHECK(values(to) == expected);
}

void check_broadcast(Communicator& ranks, core::Device& device, Dtype dtype, int64_t count) {
  for (int root = 0; root < ranks.size(); ++root) {
    Tensor t = filled(device, {count}, dtype, elements(6, ranks.rank(), 0, count));
    ranks.broadcast(t, root)->wait();
    CHECK(values(t) == elements(6, root, 0, count));
  }
}

/// Three collectives in flight, waited for in another order or only by the destructor.
void check_in_flight(Communicator& ranks, core::Device& device) {
  int64_t const count = 1000;
  std::vector<Tensor> tensors;
  std::vector<comm::PendingPtr> pending;
  for (int root = 0; root < 3; ++root) {
    int const from = root % ranks.size();
    tensors.push_back(filled(device, {count}, Dtype::f32, elements(root, ranks.rank(), 0, count)));
    pending.push_back(ranks.broadcast(tensors.back(), from));
  }
  pending[2]->wait();
  pending[0]->wait();
  pending.clear();  // waits for the remaining one
  for (int root = 0; root < 3; ++root)
    CHECK(values(tensors[static_cast<size_t>(root)]) ==
          elements(root, root % ranks.size(), 0, count));
}

/// Rounding depends on the order of a sum. Equal bits therefore prove rank order, on every rank and
/// in every run.
template <class T>
void check_order(Communicator& ranks, core::Device& device) {
  int64_t const count = 257;
  auto const of = [&](int r) {
    return random(device, {count}, core::dtype_of<T>, static_cast<unsigned>(40 + r));
  };
  std::vector<double> expected = values(of(0));
  for (int r = 1; r < ranks.size(); ++r) {
    auto const term = values(of(r));
    for (size_t i = 0; i < expected.size(); ++i)
      expected[i] = static_cast<T>(static_cast<T>(expected[i]) + static_cast<T>(term[i]));
  }
  for (int run = 0; run < 2; ++run) {
    Tensor t = of(ranks.rank());
    ranks.all_reduce(t, Reduce::sum)->wait();
    CHECK(values(t) == expected);
  }
}

/// In any order of summation: the same bits on every rank and in every run.
void check_same_bits(Communicator& ranks, core::Device& device) {
  int64_t const count = 5000;
  std::vector<double> first;
  for (int run = 0; run < 2; ++run) {
    Tensor t = random(device, {count}, Dtype::f32, static_cast<unsigned>(60 + ranks.rank()));
    ranks.all_reduce(t, Reduce::sum)->wait();
    Tensor all = garbage(device, {ranks.size(), count}, Dtype::f32);
    ranks.all_gather(t, all)->wait();
    auto const own = values(t);
    if (run == 0) first = own;
    CHECK(own == first);
    for (int r = 0; r < ranks.size(); ++r) CHECK(values(all.rows(r, r + 1)) == own);
  }
}

void check_split(Communicator& ranks, core::Device& device) {
  auto const half = ranks.split(ranks.rank() % 2);
  CHECK(half->size() == (ranks.size() + 1 - ranks.rank() % 2) / 2);
  CHECK(half->rank() == ranks.rank() / 2);
  Tensor t = filled(device, {1}, Dtype::i64, {static_cast<double>(ranks.rank())});
  half->all_reduce(t, Reduce::sum)->wait();
  double expected = 0;
  for (int r = ranks.rank() % 2; r < ranks.size(); r += 2) expected += r;
  CHECK(values(t) == std::vector<double>{expected});
}

}  // namespace

void check_communicator(Communicator& ranks, core::Device& device) {
  auto const size = static_cast<size_t>(ranks.size());
  Counts const none(size, 0), equal(size, 5);
  auto const some_counts = {uneven(ranks.size()), none, equal,
                            comm::split_evenly(257, ranks.size())};
  for (Dtype const dtype :
       {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i32, Dtype::i64, Dtype::u8}) {
    for (Counts const& counts : some_counts) check_all_gather(ranks, device, dtype, counts);
    check_all_to_all(ranks, device, dtype);
    for (int64_t const count : {0, 1, 33}) check_broadcast(ranks, device, dtype, count);
  }
  for (Dtype const dtype : {Dtype::f32, Dtype::f64, Dtype::i32, Dtype::i64})
    for (int64_t const count : {0, 1, 3, 31, 257, 5000})
      check_all_reduce(ranks, device, dtype, count);
  for (Dtype const dtype : {Dtype::f32, Dtype::f64})
    for (Counts const& counts : some_counts) check_reduce_scatter(ranks, device, dtype, counts);
  check_stacked_all_gather(ranks, device);
  check_in_flight(ranks, device);
  check_same_bits(ranks, device);
  check_split(ranks, device);
  ranks.barrier();
}

void check_rank_order(Communicator& ranks, core::Device& device) {
  check_order<float>(ranks, device);
  check_order<double>(ranks, device);
}

}  // namespace tests
