// Effects of the head's and the optimizer's settings in training, on several ranks.
#include "comm/self.h"
#include "tests/support/ranks.h"
#include "tests/train/trainer/small_training.h"

using namespace train;
using Settings = std::vector<std::string>;

namespace {

std::vector<double> losses(Experiment const& experiment, comm::Communicator& ranks, int steps) {
  auto const task = open_task(experiment.data, experiment.seed);
  auto model =
      make_model(experiment, tests::device(), ranks, task.train.data->shape(), task.classes);
  Trainer trainer(experiment, tests::device(), ranks, model, experiment.run.steps);
  Loader loader(tests::host(), task.train, experiment.data, experiment.seed, Pass::training,
                ranks.rank(), ranks.size());
  std::vector<double> all;
  for (int i = 0; i < steps; ++i) {
    Batch batch;
    loader.next(batch);
    all.push_back(tests::value(trainer.step(batch)));
  }
  return all;
}

/// Small experiment with a trunk without batch norm. The last of its six batches has 4 rows, one or
/// two per rank.
Experiment make_experiment(Settings settings) {
  settings.insert(settings.end(), {"model.trunk=conv", "model.stride=4", "model.features=auto"});
  return tests::small_experiment(settings);
}

void check_same_losses(Settings const& settings, std::string const& change) {
  INFO((settings.empty() ? "default settings" : settings.front()) << ", " << change);
  comm::Self self;
  auto const expected = losses(make_experiment(settings), self, 8);
  auto changed = settings;
  changed.push_back(change);
  auto const got = losses(make_experiment(changed), tests::world(), 8);
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("head.shards: replicas of a head -> losses of one rank", "[ranks][training][mesh]") {
  auto const head =
      GENERATE(Settings{}, Settings{"head.passes=one"},
               Settings{"head.kind=arcface", "head.bias=false", "head.scale=8"},
               Settings{"head.kind=adaface", "head.bias=false", "head.scale=8"},
               Settings{"head.kind=curricularface", "head.bias=false", "head.scale=8"},
               Settings{"optimizer.kind=adamw", "optimizer.lr=1.0e-3"},
               Settings{"optimizer.kind=lars", "optimizer.trust_coefficient=0.1"},
               Settings{"optimizer.max_grad_norm=0.5"});
  for (int shards = 1; shards <= tests::world().size(); ++shards)
    if (tests::world().size() % shards == 0)
      check_same_losses(head, core::join("head.shards=", shards));
}

TEST_CASE("accumulation_steps: ranks with fewer rows than micro-batches -> losses of one rank",
          "[ranks][training]") {
  auto const head = GENERATE(Settings{}, Settings{"head.passes=one"},
                             Settings{"optimizer.max_grad_norm=0.5"}, Settings{"head.shards=1"});
  for (auto const* parts : {"optimizer.accumulation_steps=3", "optimizer.accumulation_steps=20"})
    check_same_losses(head, parts);
}

TEST_CASE("max_grad_norm: any number of ranks -> losses of one rank", "[ranks][training]") {
  for (auto const& head :
       {Settings{"optimizer.max_grad_norm=0.1"},
        Settings{"optimizer.max_grad_norm=0.1", "head.kind=row_parallel", "head.chunk=auto"}})
    check_same_losses(head, "run.steps=20");
}
