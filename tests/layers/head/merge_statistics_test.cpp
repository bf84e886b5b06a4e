#include "layers/head/merge_statistics.h"
#include "comm/self.h"
#include "tests/support/reference.h"

TEST_CASE("merges_by_rows: many ranks and rows -> true from 1 MiB less sent per rank", "[head]") {
  // 8 ranks gather 7 * 24 bytes a row; by rows they send 7/8 * (24 + 16): 133 bytes less.
  CHECK(!layers::merges_by_rows(8, 1024, 4));
  CHECK(!layers::merges_by_rows(8, 7884, 4));
  CHECK(layers::merges_by_rows(8, 7885, 4));
  CHECK(layers::merges_by_rows(8, 3943, 8));
  CHECK(layers::merges_by_rows(1024, 131072, 4));
  CHECK(!layers::merges_by_rows(1, int64_t{1} << 40, 4));
}
