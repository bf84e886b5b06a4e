// Compares the counted bytes with the bytes passed to MPI: through MPI's profiling interface this
// program wraps MPI_Isend.
#include <atomic>
#include <mpi.h>
#include "comm/metered.h"
#include "comm/mpi/communicator.h"
#include "comm/nccl/transfers.h"
#include "tests/comm/conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using comm::Collective;
using comm::Counts;
using comm::Metered;
using comm::Moved;
using comm::Reduce;
using comm::Traffic;
using core::Dtype;
using core::Tensor;

namespace {

std::atomic<int64_t> handed_to_mpi = 0;  // bytes; atomic, because the stream thread sends too

/// Row counts, the same on every rank: 3, 0, 7, 1.
Counts uneven(int ranks) {
  Counts const all{3, 0, 7, 1};
  return {all.begin(), all.begin() + ranks};
}

Tensor rows(int64_t count, Dtype dtype) {
  Tensor t(tests::device(), {count, 5}, dtype);
  t.device().kernels().fill(1, t);
  return t;
}

/// Sum over ranks of `mine`.
int64_t sum_over_ranks(int64_t mine) {
  Tensor t(tests::device(), {1}, Dtype::i64);
  tests::device().upload(&mine, t);
  tests::world().all_reduce(t, Reduce::sum)->wait();
  tests::device().download(t, &mine);
  return mine;
}

/// An all_gather, a reduce_scatter, an all_reduce and a broadcast, each with a label.
void some_of_each(comm::Communicator& ranks, core::Device& device) {
  auto const counts = uneven(ranks.size());
  int64_t const all = comm::begin_of(counts, ranks.size());
  int64_t const own = counts[static_cast<size_t>(ranks.rank())];
  Tensor mine(device, {own, 5}, Dtype::f32), everything(device, {all, 5}, Dtype::f32);
  Tensor odd(device, {1001}, Dtype::f64);
  for (Tensor* const t : {&mine, &everything, &odd}) device.kernels().fill(1, *t);
  ranks.named("gather").all_gather(mine, counts, everything)->wait();
  ranks.named("scatter").reduce_scatter(everything, counts, mine)->wait();
  ranks.named("sum").all_reduce(odd, Reduce::sum)->wait();
  ranks.named("send").broadcast(odd, ranks.size() - 1)->wait();
}

}  // namespace

extern "C" int MPI_Isend(void const* data, int count, MPI_Datatype type, int to, int tag,
                         MPI_Comm comm, MPI_Request* request) {
  int width = 0;
  PMPI_Type_size(type, &width);
  handed_to_mpi += int64_t{count} * width;
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}

TEST_CASE("metered: several ranks -> results unchanged", "[ranks][metered]") {
  Traffic traffic;
  Metered metered(tests::world(), traffic);
  tests::check_communicator(metered, tests::device());
  CHECK(traffic.rows().size() == 5);
}

TEST_CASE("metered: all_gather -> the rows of each rank sent to all others", "[ranks][metered]") {
  Traffic traffic;
  Metered metered(tests::world(), traffic);
  auto const counts = uneven(metered.size());
  int64_t const all = comm::begin_of(counts, metered.size());
  int64_t const own = counts[static_cast<size_t>(metered.rank())];
  for (auto const dtype : {Dtype::f32, Dtype::bf16, Dtype::i64}) {
    traffic.clear();
    Tensor const mine = rows(own, dtype);
    Tensor everything = rows(all, dtype);
    metered.all_gather(mine, counts, everything)->wait();
    auto const row = static_cast<int64_t>(5 * size_of(dtype));
    CHECK(traffic.find("", Collective::all_gather)->moved ==
          Moved{(metered.size() - 1) * own * row, (all - own) * row});
  }
}

TEST_CASE("metered: reduce_scatter -> each rank receives the terms of its part",
          "[ranks][metered]") {
  Traffic traffic;
  Metered metered(tests::world(), traffic);
  auto const counts = uneven(metered.size());
  int64_t const all = comm::begin_of(counts, metered.size());
  int64_t const own = counts[static_cast<size_t>(metered.rank())];
  Tensor const everything = rows(all, Dtype::f32);
  Tensor mine = rows(own, Dtype::f32);
  metered.reduce_scatter(everything, counts, mine)->wait();
  CHECK(traffic.find("", Collective::reduce_scatter)->moved ==
        Moved{(all - own) * 20, (metered.size() - 1) * own * 20});
}

TEST_CASE("metered: all_reduce -> everything but the own part, twice", "[ranks][metered]") {
  Traffic traffic;
  Metered metered(tests::world(), traffic);
  int64_t const ranks = metered.size();
  Tensor t(tests::device(), {12 * 5}, Dtype::f64);
  t.device().kernels().fill(1, t);
  metered.all_reduce(t, Reduce::sum)->wait();
  int64_t const expected = 2 * (ranks - 1) * 12 * 5 * 8 / ranks;
  CHECK(traffic.find("", Collective::all_reduce)->moved == Moved{expected, expected});
}

TEST_CASE("metered: broadcast -> one copy per rank except the root", "[ranks][metered]") {
  Traffic traffic;
  Metered metered(tests::world(), traffic);
  int const root = metered.size() - 1;
  Tensor t = rows(2, Dtype::f32);
  metered.broadcast(t, root)->wait();
  auto const& moved = traffic.find("", Collective::broadcast)->moved;
  CHECK(moved.received == (metered.rank() == root ? 0 : 40));
  CHECK(sum_over_ranks(moved.sent) == (metered.size() - 1) * 40);
}

TEST_CASE("metered: all_to_all -> the rows for other ranks", "[ranks][metered]") {
  Traffic traffic;
  Metered metered(tests::world(), traffic);
  // Rank r sends r + 1 rows to each rank, itself included.
  Counts const send(static_cast<size_t>(metered.size()), metered.rank() + 1);
  Counts receive;
  for (int r = 0; r < metered.size(); ++r) receive.push_back(r + 1);
  Tensor const out = rows(comm::begin_of(send, metered.size()), Dtype::f32);
  Tensor in = rows(comm::begin_of(receive, metered.size()), Dtype::f32);
  metered.all_to_all(out, send, in, receive)->wait();
  int64_t const own = metered.rank() + 1, others = metered.size() - 1;
  int64_t const received = comm::begin_of(receive, metered.size()) - own;
  CHECK(traffic.find("", Collective::all_to_all)->moved == Moved{others * own * 20, received * 20});
}

TEST_CASE("metered: counted bytes -> equal the bytes sent through MPI and received",
          "[ranks][metered][mpi]") {
  // With the default message length, and split into many messages.
  for (size_t const length : {comm::Mpi::default_message_bytes, size_t{64}}) {
    comm::Mpi ranks(tests::ranks().session, length);
    Traffic traffic;
    Metered metered(ranks, traffic);
    int64_t const before = handed_to_mpi;
    some_of_each(metered, tests::host());
    int64_t const given = handed_to_mpi - before;
    Moved sum;
    for (auto const& row : traffic.rows()) sum += row.moved;
    CHECK(traffic.rows().size() == 4);
    CHECK(sum.sent == given);
    CHECK((given > 0 || ranks.size() == 1));
    CHECK(sum_over_ranks(sum.sent) == sum_over_ranks(sum.received));
  }
}

TEST_CASE("moved_by: NCCL transfers -> the bytes that MPI moves", "[ranks][metered][mpi]") {
  comm::Mpi ranks(tests::ranks().session);
  Traffic traffic;
  Metered metered(ranks, traffic);
  some_of_each(metered, tests::host());
  auto const counts = uneven(ranks.size());
  int const rank = ranks.rank(), size = ranks.size();
  Tensor const mine(tests::host(), {counts[static_cast<size_t>(rank)], 5}, Dtype::f32);
  Tensor const all(tests::host(), {comm::begin_of(counts, size), 5}, Dtype::f32);
  Tensor const odd(tests::host(), {1001}, Dtype::f64);
  auto const moved = [&](comm::Transfers const& t) { return comm::moved_by(t, rank, size); };
  CHECK(moved(comm::transfers_of_all_gather(rank, mine, counts, all)) ==
        traffic.find("gather", Collective::all_gather)->moved);
  CHECK(moved(comm::transfers_of_reduce_scatter(rank, all, counts, mine)) ==
        traffic.find("scatter", Collective::reduce_scatter)->moved);
  CHECK(moved(comm::transfers_of_all_reduce(odd, Reduce::sum)) ==
        traffic.find("sum", Collective::all_reduce)->moved);
  // In a tree, more ranks than the root send, but the total is the same.
  auto const sent = moved(comm::transfers_of_broadcast(odd, size - 1));
  auto const& tree = traffic.find("send", Collective::broadcast)->moved;
  CHECK(sent.received == tree.received);
  CHECK(sum_over_ranks(sent.sent) == sum_over_ranks(tree.sent));
}
