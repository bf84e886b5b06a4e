#include <limits>
#include "comm/metered.h"
#include "layers/head/merge_statistics.h"
#include "tests/layers/head/head_cases.h"
#include "tests/support/ranks.h"

using comm::Collective;
using core::Dtype;
using core::math::RowGradient;
using core::math::RowStatistics;
using layers::StatisticsMerge;
using tests::device;
using tests::world;

namespace {

/// Statistics (rows, RowStatistics::count) as a shard produces them; different on every rank. Of
/// several shards, the first is empty in every fifth row.
core::Tensor statistics(int64_t rows, Dtype dtype) {
  auto const seed = static_cast<unsigned>(world().rank());
  auto numbers = tests::values(tests::random(device(), {rows, RowStatistics::count}, dtype, seed));
  for (int64_t r = 0; r < rows; ++r) {
    auto* const row = numbers.data() + r * RowStatistics::count;
    row[RowStatistics::sum] = 1 + std::abs(row[RowStatistics::sum]);
    row[RowStatistics::weight] = world().rank() == r % world().size() ? 1 : 0;
    if (r % 5 > 0 || world().rank() > 0 || world().size() == 1) continue;
    std::fill_n(row, RowStatistics::count, 0);
    row[RowStatistics::max] = -std::numeric_limits<double>::infinity();
  }
  return tests::tensor(device(), {rows, RowStatistics::count}, dtype, numbers);
}

/// Labels of which every third is ignored.
core::Tensor labels(int64_t rows) {
  std::vector<int64_t> all;
  for (int64_t r = 0; r < rows; ++r) all.push_back(r % 3 == 1 ? -1 : r);
  return tests::labels_tensor(device(), all);
}

layers::MergedStatistics merged(comm::Communicator& ranks, StatisticsMerge how, int64_t rows,
                                Dtype dtype) {
  return merge_statistics(ranks, how, {.z_loss = 0.1, .classes = 9, .weight_sum = 9},
                          statistics(rows, dtype), labels(rows));
}

bool same_on_all_ranks(core::Tensor const& t) {
  auto const mine = tests::values(t), all = tests::of_all_ranks(world(), t);
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] != mine[i % mine.size()]) return false;
  return true;
}

}  // namespace

TEST_CASE("merge_statistics: by rows -> rows as gathered, on every rank", "[ranks]") {
  for (auto const dtype : {Dtype::f32, Dtype::f64})
    for (int64_t const rows : {1, 2, 3, 31, 257}) {
      INFO(rows << " rows, " << dtype);
      auto const expected = merged(world(), StatisticsMerge::gathered, rows, dtype);
      auto const result = merged(world(), StatisticsMerge::by_rows, rows, dtype);
      CHECK(tests::values(result.rows) == tests::values(expected.rows));
      CHECK(tests::distance(result.sums, expected.sums) < 1e-14);
      CHECK(same_on_all_ranks(result.rows));
      CHECK(same_on_all_ranks(result.sums));
    }
}

TEST_CASE("merge_statistics: either way -> bytes of docs/communication.md", "[ranks][traffic]") {
  int64_t const size = world().size(), others = size - 1, rows = 13;
  auto const sent = [&](StatisticsMerge how) {
    comm::Traffic traffic;
    comm::Metered metered(world(), traffic);
    merged(metered, how, rows, Dtype::f32);
    std::vector<int64_t> all;
    for (auto const what :
         {Collective::all_gather, Collective::all_to_all, Collective::all_reduce}) {
      auto const* const row = traffic.find("", what);
      auto bytes = core::scalar(device(), row == nullptr ? 0 : double(row->moved.sent));
      world().all_reduce(bytes, comm::Reduce::sum)->wait();
      all.push_back(static_cast<int64_t>(tests::value(bytes)));
    }
    return all;
  };
  int64_t const statistics = rows * RowStatistics::count * 4,
                merged = rows * RowGradient::count * 4;
  CHECK(sent(StatisticsMerge::gathered) == std::vector{others * size * statistics, 0L, 0L});
  CHECK(sent(StatisticsMerge::by_rows) ==
        std::vector{others * merged, others * statistics, others * 2 * 16});
  CHECK(sent(StatisticsMerge::automatic) == sent(StatisticsMerge::gathered));
}

TEST_CASE("sharded head: statistics merged by rows -> equal to the dense head",
          "[ranks][thorough]") {
  for (int64_t const classes : {2, 50})
    for (auto const& loss :
         tests::losses(tests::softmax_case(classes, true, layers::Logits::store, 3)))
      for (auto c : tests::ways(loss)) {
        c.options.merge = StatisticsMerge::by_rows;
        tests::check_head(world(), device(), Dtype::f64, c, 1e-11);
        if (world().size() == 4 && c.sampling_rate == 1)
          tests::check_head(world(), device(), Dtype::f64, c, 1e-11, 2);
      }
}
