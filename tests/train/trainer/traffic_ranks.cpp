// Compares the bytes moved by the collectives of real training steps with the formula: equality.
#include "core/math/softmax.h"
#include "tests/support/ranks.h"
#include "tests/train/trainer/small_training.h"
#include "train/trainer/traffic.h"

using comm::Collective;
using namespace train;

namespace {

/// Batches of 13 rows and a last one of 12: no number of ranks above 1 divides both.
constexpr int64_t batch = 13, samples = 64, steps = 6, rows_of_steps = 13 * 4 + 12 + 13;

Experiment make_experiment(std::vector<std::string> settings) {
  settings.push_back("data.global_batch_size=" + std::to_string(batch));
  settings.push_back("run.cuda_graph=off");  // a replay is not counted
  return tests::small_experiment(settings);
}

/// Trains for `steps` steps and returns the measured traffic.
std::vector<StepTraffic::Row> counted_steps(Experiment const& experiment) {
  auto& world = tests::world();
  StepTraffic traffic(world);
  auto const task = open_task(experiment.data, experiment.seed);
  auto model = make_model(experiment, tests::device(), traffic.ranks(), task.train.data->shape(),
                          task.classes);
  Trainer trainer(experiment, tests::device(), traffic.ranks(), model, steps);
  Loader loader(tests::host(), task.train, experiment.data, experiment.seed, Pass::training,
                world.rank(), world.size());
  for (int64_t step = 0; step < steps; ++step) {
    Batch next;
    loader.next(next);
    traffic.begin_step();
    trainer.step(next);
    auto sizes = step_sizes(experiment, model, world.size());
    sizes.batch = comm::begin_of(next.counts, world.size());
    traffic.end_step(sizes);
  }
  return traffic.rows(tests::device());
}

StepTraffic::Row row_of(std::vector<StepTraffic::Row> const& rows, std::string const& label) {
  auto const found = std::ranges::find(rows, label, &StepTraffic::Row::label);
  REQUIRE(found != rows.end());
  return *found;
}

}  // namespace

TEST_CASE("traffic: step in f32 -> bytes of the formula", "[ranks][traffic]") {
  auto const settings = GENERATE(
      std::vector<std::string>{}, std::vector<std::string>{"model.batch_norm=sync"},
      std::vector<std::string>{"head.logits=recompute", "head.chunk=5"},
      std::vector<std::string>{"head.kind=row_parallel", "head.chunk=auto"},
      std::vector<std::string>{"model.trunk=conv", "model.features=auto", "model.stride=4"});
  INFO((settings.empty() ? "default settings" : settings.front()));
  auto const rows = counted_steps(make_experiment(settings));
  CHECK(rows.size() >= 4);
  for (auto const& row : rows) {
    INFO(row.label << ' ' << comm::name(row.what));
    CHECK(row.sent == row.by_formula);
    CHECK(row.received == row.by_formula);
    CHECK((row.sent > 0 || tests::world().size() == 1));
    CHECK(row.calls > 0);
  }
}

TEST_CASE("traffic: step on a 2 x 2 mesh -> bytes of the formula", "[ranks][traffic][mesh]") {
  if (tests::world().size() != 4) return;  // 2 x 2
  auto const settings =
      GENERATE(std::vector<std::string>{"head.kind=softmax"},
               std::vector<std::string>{"head.kind=adaface", "head.bias=false"},
               std::vector<std::string>{"head.kind=curricularface", "head.bias=false"},
               std::vector<std::string>{"optimizer.max_grad_norm=1"},
               std::vector<std::string>{"optimizer.accumulation_steps=3"});
  INFO(settings.front());
  auto experiment = make_experiment(settings);
  experiment.head.shards = 2;
  for (auto const& row : counted_steps(experiment)) {
    INFO(row.label << ' ' << comm::name(row.what));
    CHECK(row.sent == row.by_formula);
    CHECK(row.received == row.by_formula);
    CHECK(row.calls > 0);
  }
}

TEST_CASE("traffic: step in bf16 -> bytes of the formula", "[ranks][traffic]") {
  if (!tests::can_multiply(tests::device(), core::Dtype::bf16)) return;
  auto const rows = counted_steps(make_experiment({"precision=bf16"}));
  for (auto const& row : rows) {
    INFO(row.label << ' ' << comm::name(row.what));
    CHECK(row.sent == row.by_formula);
  }
  int64_t const others = tests::world().size() - 1;
  CHECK(row_of(rows, "features").sent == others * rows_of_steps * 24 * 2);
  CHECK(row_of(rows, "features' gradient").sent == others * rows_of_steps * 24 * 4);
}

TEST_CASE("traffic: more classes -> same bytes for the head", "[ranks][traffic]") {
  int64_t const others = tests::world().size() - 1, ranks = tests::world().size();
  for (auto const* classes : {"data.classes=37", "data.classes=300"}) {
    auto const rows = counted_steps(make_experiment({classes}));
    CHECK(row_of(rows, "features").sent == others * rows_of_steps * 24 * 4);
    CHECK(row_of(rows, "features").calls == steps);
    CHECK(row_of(rows, "labels").sent == others * rows_of_steps * 8);
    CHECK(row_of(rows, "statistics").sent ==
          others * ranks * rows_of_steps * core::math::RowStatistics::count * 4);
    CHECK(row_of(rows, "features' gradient").sent == others * rows_of_steps * 24 * 4);
  }
}
