// Ranks that call different collectives over MPI, where messages identify theirs. Each test uses
// its own communicator, because a communicator is unusable after a failed collective.
#include "comm/mpi/communicator.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using Catch::Contains;
using comm::Counts;
using core::Dtype;
using core::Tensor;

namespace {

/// An all_gather of one row per rank, in which rank 0 assumes `rows_of_0` rows for itself.
comm::PendingPtr gather(comm::Communicator& ranks, int64_t rows_of_0, Dtype dtype) {
  Counts counts(static_cast<size_t>(ranks.size()), 1);
  counts[0] = rows_of_0;
  Tensor const mine(tests::host(), {counts[static_cast<size_t>(ranks.rank())]}, dtype);
  Tensor all(tests::host(), {comm::begin_of(counts, ranks.size())}, dtype);
  return ranks.all_gather(mine, counts, all);
}

}  // namespace

TEST_CASE("mismatch: all_gather of different dtypes -> throws and names rank and dtypes",
          "[ranks][mpi]") {
  comm::Mpi ranks(tests::ranks().session);
  if (ranks.size() == 1) return;
  auto const pending = gather(ranks, 1, ranks.rank() == 0 ? Dtype::f32 : Dtype::i32);
  if (ranks.rank() == 0)
    CHECK_THROWS_WITH(pending->wait(),
                      Contains("in all_gather of f32: rank ") && Contains("all_gather of i32"));
  else
    CHECK_THROWS_WITH(pending->wait(),
                      Contains("in all_gather of i32: rank 0 is in all_gather of f32"));
}

TEST_CASE("mismatch: different collectives -> throws and names rank and collectives",
          "[ranks][mpi]") {
  comm::Mpi ranks(tests::ranks().session);
  if (ranks.size() == 1) return;
  if (ranks.rank() == 0) {
    CHECK_THROWS_WITH(gather(ranks, 1, Dtype::u8)->wait(), Contains("is in all_to_all of u8"));
  } else {
    Counts const ones(static_cast<size_t>(ranks.size()), 1);
    Tensor const out(tests::host(), {ranks.size()}, Dtype::u8);
    Tensor in = core::empty_like(out);
    CHECK_THROWS_WITH(ranks.all_to_all(out, ones, in, ones)->wait(),
                      Contains("in all_to_all of u8: rank 0 is in all_gather of u8"));
  }
}

TEST_CASE("mismatch: different sizes -> throws and names rank and sizes", "[ranks][mpi]") {
  comm::Mpi ranks(tests::ranks().session);
  bool const first = ranks.rank() == 0;
  SECTION("less than expected") {
    auto const pending = gather(ranks, first ? 1 : 2, Dtype::f32);
    if (first) CHECK_NOTHROW(pending->wait());
    if (!first) CHECK_THROWS_WITH(pending->wait(), Contains("rank 0 sent 4 bytes instead of 8"));
  }
  SECTION("more than expected") {
    auto const pending = gather(ranks, first ? 2 : 1, Dtype::f32);
    if (first) CHECK_NOTHROW(pending->wait());
    if (!first) CHECK_THROWS_WITH(pending->wait(), Contains("sent more than the 4 bytes expected"));
  }
}

TEST_CASE("operation: MPI error -> wait throws with MPI's message", "[ranks][mpi]") {
  comm::Stream& stream = tests::ranks().session.stream();
  std::byte content{};
  comm::Operation operation(stream, MPI_COMM_WORLD, comm::Collective::broadcast, {}, 8);
  operation.then([&](comm::Operation& stage) { stage.send(&content, 1, 1000); });
  operation.then([&](comm::Operation&) { content = std::byte{1}; });
  stream.push(operation);
  CHECK_THROWS_WITH(operation.wait(), Contains("MPI_ERR_RANK"));
  CHECK(content == std::byte{});  // the next stage did not run
}

TEST_CASE("operation: never pushed or never waited for -> destructor ends it", "[ranks][mpi]") {
  comm::Stream& stream = tests::ranks().session.stream();
  bool ran = false;
  { comm::Operation const idle(stream, MPI_COMM_WORLD, comm::Collective::barrier, {}, 8); }
  {
    comm::Operation failing(stream, MPI_COMM_WORLD, comm::Collective::barrier, {}, 8);
    failing.then([&](comm::Operation&) {
      ran = true;
      core::fail("this error is not observed");
    });
    stream.push(failing);
  }
  CHECK(ran);
}
