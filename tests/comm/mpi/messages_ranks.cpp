// What is promised beyond the interface where ranks are joined by MPI.
#include "comm/mpi/communicator.h"
#include "tests/comm/conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using Catch::Contains;
using comm::Mpi;

TEST_CASE("over MPI, sums are in the order of the ranks", "[ranks][mpi]") {
  Mpi ranks(tests::ranks().session);
  tests::check_communicator(ranks, tests::host());
  tests::check_rank_order(ranks, tests::host());
}

TEST_CASE("transfers cut into many messages give the same", "[ranks][mpi]") {
  // 16 bytes are two or four elements a message, and one in a slice of a reduction.
  Mpi ranks(tests::ranks().session, 16);
  tests::check_communicator(ranks, tests::host());
  tests::check_rank_order(ranks, tests::host());
}

TEST_CASE("messages have a least length", "[ranks][mpi]") {
  CHECK_THROWS_WITH(Mpi(tests::ranks().session, 4), Contains("message length of 4 bytes"));
}
