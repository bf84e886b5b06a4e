// Guarantees of MPI communicators beyond the interface.
#include "comm/mpi/communicator.h"
#include "tests/comm/conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using Catch::Contains;
using comm::Mpi;

TEST_CASE("mpi: sums -> terms added in rank order", "[ranks][mpi]") {
  Mpi ranks(tests::ranks().session);
  tests::check_communicator(ranks, tests::host());
  tests::check_rank_order(ranks, tests::host());
}

TEST_CASE("mpi: transfers split into many messages -> same results", "[ranks][mpi]") {
  // 16 bytes: two or four elements per message, and one element per slice of a reduction.
  Mpi ranks(tests::ranks().session, 16);
  tests::check_communicator(ranks, tests::host());
  tests::check_rank_order(ranks, tests::host());
}

TEST_CASE("mpi: message length below 8 bytes -> throws", "[ranks][mpi]") {
  CHECK_THROWS_WITH(Mpi(tests::ranks().session, 4), Contains("message length of 4 bytes"));
}
