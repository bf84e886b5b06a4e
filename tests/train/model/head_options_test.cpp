// Effects of the head's and the optimizer's settings in training, on one rank.
#include <numeric>
#include "tests/support/device.h"
#include "tests/train/files.h"
#include "tests/train/trainer/small_training.h"
#include "train/checkpoint/checkpoint.h"

using tests::SmallTraining;
using Settings = std::vector<std::string>;

namespace {

/// Small experiment with a trunk without batch norm, so that the rows of a batch are independent.
train::Experiment plain_experiment(Settings const& settings) {
  Settings all{"model.trunk=conv", "model.stride=4", "model.features=auto"};
  all.insert(all.end(), settings.begin(), settings.end());
  return tests::small_experiment(all);
}

/// Plain gradient descent: the update of a step is the learning rate times the gradient.
constexpr double descent_rate = 16;
train::Experiment descent(Settings const& settings) {
  Settings all{"optimizer.momentum=0",   "optimizer.weight_decay=0", "optimizer.lr=16",
               "schedule.kind=constant", "schedule.warmup_steps=0",  "optimizer.nesterov=false"};
  all.insert(all.end(), settings.begin(), settings.end());
  return plain_experiment(all);
}

Settings operator+(Settings a, Settings const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<double> losses(SmallTraining& training, int steps) {
  std::vector<double> all;
  for (int i = 0; i < steps; ++i) all.push_back(tests::value(training.step()));
  return all;
}

std::vector<double> losses(train::Experiment const& experiment, int steps) {
  SmallTraining training(experiment, tests::device());
  return losses(training, steps);
}

void check_close(std::vector<double> const& a, std::vector<double> const& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).epsilon(1e-5));
}

/// Gradient of the first step, for trunk and head.
std::vector<double> first_gradient(Settings const& settings) {
  SmallTraining training(descent(settings), tests::device());
  auto const before = training.state();
  training.step();
  auto after = training.state();
  for (size_t i = 0; i < after.size(); ++i) after[i] = (before[i] - after[i]) / descent_rate;
  return after;
}

double norm(std::vector<double> const& v) {
  return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
}

std::vector<Settings> all_heads() {
  std::vector<Settings> all;
  for (auto const* kind : {"softmax", "row_parallel"})
    all.push_back({std::string("head.kind=") + kind});
  for (auto const* kind :
       {"normface", "cosface", "arcface", "sphereface", "combined", "adaface", "curricularface"})
    all.push_back({std::string("head.kind=") + kind, "head.bias=false", "head.scale=16"});
  all[1].push_back("head.chunk=auto");
  all[6].push_back("head.m2=0.2");
  return all;
}

}  // namespace

TEST_CASE("accumulation_steps: batch in micro-batches -> losses of the whole batch") {
  auto const head = GENERATE(Settings{}, Settings{"head.passes=one", "head.logits=recompute"},
                             Settings{"head.kind=arcface", "head.bias=false", "head.scale=8"},
                             Settings{"optimizer.kind=adamw", "optimizer.lr=1.0e-3"},
                             Settings{"optimizer.max_grad_norm=0.5"}, Settings{"model.dropout=0"});
  INFO((head.empty() ? "default settings" : head.front()));
  auto const whole = losses(plain_experiment(head), 8);
  // With 20, there are more micro-batches than rows; the last batch has only 4 rows.
  for (auto const* parts : {"optimizer.accumulation_steps=3", "optimizer.accumulation_steps=20"})
    check_close(losses(plain_experiment(head + Settings{parts}), 8), whole);
}

TEST_CASE("max_grad_norm: norm exceeds it -> whole gradient scaled to this norm") {
  for (auto const& head : {Settings{"head.kind=softmax"}, Settings{"head.passes=one"},
                           Settings{"optimizer.accumulation_steps=3"},
                           Settings{"head.kind=row_parallel", "head.chunk=auto"},
                           Settings{"head.sampling.rate=0.5"}}) {
    INFO(head.front());
    auto const gradient = first_gradient(head);
    double const whole = norm(gradient);
    auto clipped =
        first_gradient(head + Settings{core::join("optimizer.max_grad_norm=", whole / 3)});
    CHECK(norm(clipped) == Approx(whole / 3).epsilon(1e-4));
    for (double& g : clipped) g *= 3;
    CHECK(tests::distance(clipped, gradient) < 1e-4);  // same direction
  }
}

TEST_CASE("max_grad_norm: never reached -> bitwise identical training") {
  for (auto const& head :
       {Settings{"head.kind=softmax"}, Settings{"head.passes=one"},
        Settings{"head.kind=row_parallel", "head.chunk=auto"}, Settings{"head.logits=recompute"}}) {
    INFO(head.front());
    SmallTraining free(plain_experiment(head), tests::device());
    SmallTraining bound(plain_experiment(head + Settings{"optimizer.max_grad_norm=1.0e6"}),
                        tests::device());
    CHECK(losses(free, 6) == losses(bound, 6));
    CHECK(free.state() == bound.state());
  }
}

TEST_CASE("head.sampling.full_after: after this share of the steps -> all classes") {
  Settings const sampled{"head.sampling.rate=0.3"};
  SmallTraining draws(plain_experiment(sampled), tests::device());
  SmallTraining stops(plain_experiment(sampled + Settings{"head.sampling.full_after=0.5"}),
                      tests::device());
  CHECK(losses(draws, 10) == losses(stops, 10));  // half of 20 steps
  CHECK(draws.state() == stops.state());
  // With the same weights and batch, a softmax over more classes has a larger loss.
  CHECK(losses(stops, 1)[0] > losses(draws, 1)[0]);
  // With 0, classes are never sampled.
  CHECK(losses(plain_experiment(sampled + Settings{"head.sampling.full_after=0"}), 4) ==
        losses(plain_experiment({}), 4));
}

TEST_CASE("head.passes: one or two -> same losses") {
  for (auto const& head : all_heads()) {
    if (head.front() == "head.kind=row_parallel") continue;
    INFO(head.front());
    auto const rate = Settings{"optimizer.lr=0.01"};
    check_close(losses(plain_experiment(head + rate + Settings{"head.passes=one"}), 8),
                losses(plain_experiment(head + rate), 8));
  }
}

TEST_CASE("head.kind: every kind -> loss decreases on the small task") {
  for (auto const& head : all_heads()) {
    INFO(head.front());
    auto const all =
        losses(tests::small_experiment(head + Settings{"run.steps=30", "optimizer.lr=0.02"}), 30);
    // An epoch has 6 batches.
    double const first = std::accumulate(all.begin(), all.begin() + 6, 0.0),
                 last = std::accumulate(all.end() - 6, all.end(), 0.0);
    CHECK(last < 0.9 * first);
  }
}

TEST_CASE("resume: every stateful head and optimizer -> bitwise identical to uninterrupted") {
  auto const settings = GENERATE(
      Settings{"head.kind=adaface", "head.bias=false", "head.scale=8"},
      Settings{"head.kind=curricularface", "head.bias=false", "head.scale=8"},
      Settings{"optimizer.kind=adamw", "optimizer.lr=1.0e-3"}, Settings{"head.storage=bf16"},
      Settings{"head.storage=bf16_moments", "optimizer.kind=adam", "optimizer.lr=1.0e-3"},
      Settings{"head.sampling.rate=0.3", "head.sampling.log_q=true"},
      Settings{"optimizer.kind=lars", "optimizer.accumulation_steps=3",
               "optimizer.max_grad_norm=1"});
  INFO(settings.front());
  auto const experiment = tests::small_experiment(settings);
  tests::TemporaryFolder const folder;
  SmallTraining whole(experiment, tests::device());
  losses(whole, 4);
  train::Checkpoints checkpoints(folder.path(), whole.ranks, 1);
  checkpoints.save(whole.trainer.snapshot(37), {4, 0, 4});

  SmallTraining second(experiment, tests::device());
  auto snapshot = second.trainer.snapshot(37);
  bool const remembers = settings.front().starts_with("head.kind");
  CHECK(std::ranges::count(snapshot.head, "head.margin", &train::NamedTensor::name) ==
        (remembers ? 1 : 0));
  REQUIRE(checkpoints.load(snapshot, [](auto const&) {}) == train::Position{4, 0, 4});
  second.trainer.restored(4);
  CHECK(second.state() == whole.state());
  train::Batch batch;
  for (int i = 0; i < 4; ++i) second.loader.next(batch);
  CHECK(losses(second, 5) == losses(whole, 5));
  CHECK(second.state() == whole.state());
}
