#include "tests/comm/conformance.h"
#include "tests/support/elsewhere.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using Catch::Contains;
using comm::Counts;
using comm::Reduce;
using core::Dtype;
using core::Tensor;

TEST_CASE("communicator: all ranks -> every collective returns the expected values", "[ranks]") {
  tests::check_communicator(tests::world(), tests::device());
}

TEST_CASE("communicator: split and split again -> collectives of the groups are correct",
          "[ranks]") {
  auto const half = tests::world().split(tests::world().rank() % 2);
  tests::check_communicator(*half, tests::device());
  auto const alone = half->split(half->rank());
  CHECK(alone->size() == 1);
  tests::check_communicator(*alone, tests::device());
}

TEST_CASE("communicator: collectives of two groups in flight -> all are correct", "[ranks]") {
  comm::Communicator& world = tests::world();
  auto const other = world.split(0);
  Tensor a = tests::tensor<double>(tests::device(), {1}, {1.0 + world.rank()});
  Tensor b = core::clone(a);
  auto first = world.all_reduce(a, Reduce::max);
  auto second = other->all_reduce(b, Reduce::sum);
  second->wait();
  first->wait();
  int const size = world.size();
  CHECK(tests::value(a) == size);
  CHECK(tests::value(b) == size * (size + 1) / 2);
}

TEST_CASE("communicator: wait called twice -> the second call has no effect", "[ranks]") {
  Tensor t = tests::tensor<float>(tests::device(), {1}, {2});
  auto const pending = tests::world().all_reduce(t, Reduce::sum);
  pending->wait();
  pending->wait();
  CHECK(tests::value(t) == 2 * tests::world().size());
}

TEST_CASE("communicator: tensor dropped during a collective -> memory kept until it has ended",
          "[ranks]") {
  int64_t const count = 100'000;
  size_t const before = tests::device().memory().now;
  auto pending = [&] {
    Tensor t(tests::device(), {count}, Dtype::u8);
    return tests::world().broadcast(t, 0);
  }();
  CHECK(tests::device().memory().now >= before + count);
  pending.reset();
  CHECK(tests::device().memory().now == before);
}

TEST_CASE("session: all ranks on one host -> local_rank and local_size are rank and size",
          "[ranks]") {
  // All ranks of this test run on one host.
  comm::Session const& session = tests::ranks().session;
  CHECK(session.local_rank() == session.rank());
  CHECK(session.local_size() == session.size());
}

TEST_CASE("communicator: wrong arguments -> every rank throws before it enters", "[ranks]") {
  comm::Communicator& world = tests::world();
  core::Device& device = tests::device();
  Counts const ones(static_cast<size_t>(world.size()), 1);
  int64_t const size = world.size();
  Tensor row(device, {1, 3}, Dtype::f32), rows(device, {size, 3}, Dtype::f32);
  Tensor more(device, {size + 1, 3}, Dtype::f32), wide(device, {size, 4}, Dtype::f32);
  Tensor doubles(device, {size, 3}, Dtype::f64), half(device, {size, 3}, Dtype::bf16);
  Tensor half_row(device, {1, 3}, Dtype::bf16), none;

  auto const place = core::join(" on rank ", world.rank(), " of ", size, ": ");
  CHECK_THROWS_WITH(world.all_gather(row, ones, more), Contains("all_gather" + place));
  CHECK_THROWS_WITH(world.all_gather(row, ones, more),
                    Contains("all has shape (" + std::to_string(size + 1) + ", 3)"));
  CHECK_THROWS_WITH(world.all_gather(row, ones, wide), Contains("differ"));
  CHECK_THROWS_WITH(world.all_gather(row, ones, doubles), Contains("differ"));
  CHECK_THROWS_WITH(world.all_gather(more, ones, rows), Contains("mine has shape"));
  CHECK_THROWS_WITH(world.all_gather(row, Counts(5, 1), rows), Contains("(1, 1, 1, 1, 1)"));
  CHECK_THROWS_WITH(world.all_gather(row, Counts(ones.size(), -1), rows), Contains("negative"));
  CHECK_THROWS_WITH(world.all_gather(none, ones, rows), Contains("tensor argument is empty"));
  CHECK_THROWS_WITH(world.all_gather(row, more), Contains("all_gather"));  // stacked

  CHECK_THROWS_WITH(world.all_reduce(half, Reduce::sum), Contains("convert"));
  CHECK_THROWS_WITH(world.all_reduce(none, Reduce::sum), Contains("all_reduce" + place));
  CHECK_THROWS_WITH(world.reduce_scatter(half, ones, half_row), Contains("convert"));
  CHECK_THROWS_WITH(world.reduce_scatter(more, ones, row), Contains("reduce_scatter" + place));
  CHECK_THROWS_WITH(world.all_to_all(rows, ones, more, ones), Contains("all_to_all" + place));
  CHECK_THROWS_WITH(world.broadcast(row, world.size()), Contains("out of range"));
  CHECK_THROWS_WITH(world.broadcast(row, -1), Contains("broadcast" + place));
  CHECK_THROWS_WITH(world.split(-1), Contains("negative"));
  world.barrier();  // no rank is left in a collective
}

TEST_CASE("all_to_all: own send and receive counts differ -> throws", "[ranks]") {
  comm::Communicator& world = tests::world();
  Counts send(static_cast<size_t>(world.size()), 0), receive = send;
  send[static_cast<size_t>(world.rank())] = 2;
  receive[static_cast<size_t>(world.rank())] = 1;
  Tensor const out(tests::device(), {2}, Dtype::u8);
  Tensor in(tests::device(), {1}, Dtype::u8);
  CHECK_THROWS_WITH(world.all_to_all(out, send, in, receive), Contains("sends itself 2"));
}

// Hidden: 5.4 GB on each of two ranks.
TEST_CASE("communicator: more than 2^31 bytes -> all_gather and all_to_all are correct",
          "[.big][thorough]") {
  comm::Communicator& world = tests::world();
  int64_t const total = (int64_t{1} << 31) + 12'345;
  Counts const counts = comm::split_evenly(total, world.size());
  int64_t const own = counts[static_cast<size_t>(world.rank())];
  auto const pattern = [](int64_t i) { return static_cast<uint8_t>(i % 251); };
  Tensor mine(tests::device(), {own}, Dtype::u8), all(tests::device(), {total}, Dtype::u8);
  std::vector<uint8_t> bytes(static_cast<size_t>(total));
  for (int64_t i = 0; i < total; ++i) bytes[static_cast<size_t>(i)] = pattern(i);
  tests::device().upload(bytes.data() + comm::begin_of(counts, world.rank()), mine);
  auto const wrong = [&] {
    tests::device().download(all, bytes.data());
    int64_t count = 0;
    for (int64_t i = 0; i < total; ++i) count += bytes[static_cast<size_t>(i)] != pattern(i);
    return count;
  };
  world.all_gather(mine, counts, all)->wait();
  CHECK(wrong() == 0);
  if (world.rank() != 0) tests::device().kernels().fill(255, all);
  world.broadcast(all, 0)->wait();
  CHECK(wrong() == 0);
}

TEST_CASE("communicator: tensor on another device -> every rank throws before it enters",
          "[ranks]") {
  comm::Communicator& world = tests::world();
  tests::Elsewhere elsewhere;
  Tensor t(elsewhere, {2}, Dtype::f32);
  Tensor row(elsewhere, {1, 3}, Dtype::f32), rows(tests::device(), {world.size(), 3}, Dtype::f32);
  Counts const ones(static_cast<size_t>(world.size()), 1);
  auto const place = core::join(" on rank ", world.rank(), " of ", world.size(), ": ");
  CHECK_THROWS_WITH(world.all_reduce(t, Reduce::sum),
                    Contains("all_reduce" + place + "f32 (2) is on another device"));
  CHECK_THROWS_WITH(world.broadcast(t, 0), Contains("broadcast" + place));
  CHECK_THROWS_WITH(world.all_gather(row, ones, rows), Contains("all_gather" + place));
  CHECK_THROWS_WITH(world.reduce_scatter(rows, ones, row), Contains("reduce_scatter" + place));
  world.barrier();  // no rank is left in a collective
}
