#include "train/plan/plan.h"
#include "tests/support/reference.h"
#include "tests/train/plan/plan_cases.h"
#include "train/errors.h"

using train::Experiment;

namespace {

train::PlanSizes sizes_of(Experiment const& experiment, int ranks = 1) {
  return {.ranks = ranks,
          .classes = *experiment.data.classes,
          .image = {experiment.data.height, experiment.data.width, experiment.data.channels},
          .device = {"a device", int64_t{4} << 20, false}};
}

int64_t sum(core::dry::Parts const& parts) {
  int64_t all = 0;
  for (auto const& [name, bytes] : parts) all += bytes;
  return all;
}

void compare(Experiment const& experiment) {
  comm::Self self;
  auto const plan = tests::planned(experiment, 1);
  auto const measured = tests::measured_peak(experiment, self);
  INFO("planned " << plan.peak << ", measured " << measured << " bytes: "
                  << 100.0 * static_cast<double>(measured - plan.peak) /
                         static_cast<double>(measured)
                  << " % more");
  // The CPU's allocator returns blocks up to 1/16 larger than requested.
  CHECK(measured >= plan.peak);
  CHECK(static_cast<double>(measured) <= 1.07 * static_cast<double>(plan.peak));
  CHECK(plan.peak > 10'000'000);
  CHECK(sum(plan.parts_at_peak) == plan.peak);
}

}  // namespace

TEST_CASE("plan_step: one rank -> peak memory of real steps", "[plan]") {
  for (auto const& settings : tests::plan_settings()) {
    INFO((settings.empty() ? "default settings" : settings.front())
         << ", " << (settings.empty() ? "" : settings.back()));
    compare(tests::large_head(settings));
  }
}

TEST_CASE("plan_step: sampled classes -> peak memory of real steps", "[plan]") {
  for (auto const* rows : {"lazy", "dense"}) {
    INFO(rows);
    compare(tests::large_head({"head.sampling.rate=0.3",
                               std::string("head.sampling.unsampled_rows=") + rows,
                               "head.logits=store"}));
  }
}

TEST_CASE("plan_step: bf16 -> peak memory of real steps", "[plan]") {
  core::cpu::Cpu cpu(1);
  if (!tests::can_multiply(cpu, core::Dtype::bf16)) return;
  compare(tests::large_head({"precision=bf16", "head.storage=bf16", "head.logits=store"}));
}

TEST_CASE("plan_step: parts -> sizes of weights, optimizer state and buffers", "[plan]") {
  auto const experiment = tests::large_head({"head.logits=store", "head.bias=false"});
  auto const plan = train::plan_step(experiment, sizes_of(experiment));
  int64_t const weights = 20011 * 128 * 4;
  CHECK(plan.parts_at_peak.at("head weights") == weights);
  CHECK(plan.parts_at_peak.at("head optimizer state") == weights);
  CHECK(plan.peak_of_parts.at("exponentials") == 52 * 20032 * 4);  // rows are padded
  CHECK(plan.peak_of_parts.at("gathered features") == 52 * 128 * 4);
  CHECK(plan.peak_of_parts.at("trunk activations") > 52 * 16 * 16 * 8 * 4 * 3);
  CHECK(plan.loader == 5 * 52 * (16 * 16 * 4 + 8));
  auto const shared = train::plan_step(experiment, sizes_of(experiment, 4));
  CHECK(shared.parts_at_peak.at("head weights") == 5003 * 128 * 4);
  CHECK(shared.peak_of_parts.at("gathered features") == 52 * 128 * 4);
  CHECK(shared.loader == 5 * 13 * (16 * 16 * 4 + 8));
}

TEST_CASE("plan_step: temporary tensors -> the peak without what exists between steps", "[plan]") {
  auto const experiment = tests::large_head({"head.logits=store", "head.bias=false"});
  auto const plan = train::plan_step(experiment, sizes_of(experiment));
  int64_t const weights = 20011 * 128 * 4;
  CHECK(plan.temporary > plan.peak_of_parts.at("exponentials"));
  // Weights and momentum of the head; the trunk's are small.
  CHECK(plan.peak - plan.temporary > 2 * weights);
  CHECK(plan.peak - plan.temporary < 2.1 * weights);
}

TEST_CASE("plan_step: work -> FLOPs of the head's products", "[plan]") {
  // Three products of 52 x 20011 x 128 with stored logits, four without, plus those of the trunk.
  auto const flops = [](std::string const& logits) {
    auto const experiment = tests::large_head({"head.logits=" + logits});
    double all = 0;
    for (auto const& stretch : train::plan_step(experiment, sizes_of(experiment)).stretches)
      for (auto const& [work, times] : stretch.work) all += work.flops * static_cast<double>(times);
    return all;
  };
  double const product = 2.0 * 52 * 20011 * 128;
  CHECK(flops("recompute") - flops("store") == Approx(product));
  CHECK(flops("store") > 3 * product);
  CHECK(flops("store") < 4 * product);
}

TEST_CASE("plan_step: several ranks -> transfers with the bytes of the formula", "[plan]") {
  for (auto const* shards : {"head.shards=4", "head.shards=2"}) {
    auto experiment = tests::large_head({shards, "head.bias=false"});
    auto const plan = train::plan_step(experiment, sizes_of(experiment, 4));
    std::map<std::string, double> sent;
    for (auto const& transfer : plan.transfers) sent[transfer.label] += transfer.sent;
    for (auto const& row : plan.traffic.rows()) {
      INFO(shards << ", " << row.label);
      auto const formula = static_cast<double>(row.moved.sent) / 4;
      // Rank 0 has one of 20011 classes more than the mean.
      if (row.what != comm::Collective::all_to_all) sent[row.label] -= formula;
      CHECK(std::abs(sent[row.label]) <= 1e-3 * formula + 8);
    }
  }
}

TEST_CASE("most_classes, suggestions: memory limit -> classes that fit; smaller peaks, sorted",
          "[plan]") {
  auto const experiment = tests::large_head({});
  auto sizes = sizes_of(experiment);
  sizes.device.on_host = true;  // small chunks
  int64_t const memory = 50'000'000;
  int64_t const most = train::most_classes(experiment, sizes, memory);
  sizes.classes = most;
  CHECK(train::plan_step(experiment, sizes).peak <= memory);
  sizes.classes = most + most / 50;
  CHECK(train::plan_step(experiment, sizes).peak > memory);
  CHECK(train::most_classes(experiment, sizes, 1000) == 0);

  sizes.classes = *experiment.data.classes;
  auto const peak = train::plan_step(experiment, sizes).peak;
  auto const all = train::suggestions(experiment, sizes, peak);
  std::vector<std::string> changes;
  for (auto const& suggestion : all) {
    CHECK(suggestion.peak < peak);
    changes.push_back(suggestion.change);
  }
  CHECK(std::ranges::is_sorted(all, {}, &train::Suggestion::peak));
  for (auto const* change : {"head.storage=bf16", "optimizer.momentum=0", "--ranks 2"})
    CHECK(std::ranges::count(changes, change) == 1);
}

TEST_CASE("plan_step: more ranks than classes -> ConfigError", "[plan]") {
  auto const experiment = tests::small_experiment();
  CHECK_THROWS_WITH(train::plan_step(experiment, sizes_of(experiment, 38)),
                    Catch::Contains("38 ranks, but the number of classes is 37"));
}
