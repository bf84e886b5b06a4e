#include "comm/communicator.h"
#include "tests/support/reference.h"

using comm::begin_of;
using comm::Counts;
using comm::split_evenly;

TEST_CASE("split_evenly: remainder -> one more item in each of the first parts") {
  CHECK(split_evenly(10, 4) == Counts{3, 3, 2, 2});
  CHECK(split_evenly(8, 4) == Counts{2, 2, 2, 2});
  CHECK(split_evenly(2, 3) == Counts{1, 1, 0});
  CHECK(split_evenly(0, 2) == Counts{0, 0});
  CHECK(split_evenly(5, 1) == Counts{5});
  CHECK(split_evenly(int64_t{1} << 33, 3) == Counts{2863311531, 2863311531, 2863311530});
}

TEST_CASE("begin_of: rank -> its first row; size -> number of rows") {
  Counts const counts{3, 0, 7, 1};
  CHECK(begin_of(counts, 0) == 0);
  CHECK(begin_of(counts, 1) == 3);
  CHECK(begin_of(counts, 2) == 3);
  CHECK(begin_of(counts, 3) == 10);
  CHECK(begin_of(counts, 4) == 11);
}
