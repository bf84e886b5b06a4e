// Training on the stand-in for CUDA and NCCL, compared with the CPU over MPI.
#include <algorithm>
#include <catch2/catch.hpp>
#include "comm/open.h"
#include "core/cpu/device.h"
#include "core/cuda/open.h"
#include "tests/support/fake_cuda/under.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"
#include "train/data/loader.h"
#include "train/trainer/loss_history.h"
#include "train/trainer/trainer.h"

namespace fake_cuda = tests::fake_cuda;

namespace {

/// Losses differ by rounding alone.
constexpr double f32_rounding = 2e-6, bf16_rounding = 2e-3;

/// Six batches an epoch, the last one smaller; steps of the usual size are recorded.
constexpr int steps = 13, logged_every = 5;

using Settings = std::vector<std::string>;

train::Experiment experiment(Settings settings) {
  bool const chunks = !std::ranges::count(settings, "head.kind=row_parallel");
  if (chunks) settings.emplace_back("head.chunk=10");
  return train::parse_experiment("test", R"(
precision: f32
run: {steps: 20}
data:
  {kind: synthetic, classes: 37, samples: 64, global_batch_size: 12,
   height: 8, width: 8, channels: 1}
model: {trunk: small, width: 4, features: 24}
head: {bias: true}
optimizer: {lr: 1.0e-3, momentum: 0.9, weight_decay: 1.0e-3}
schedule: {kind: cosine, warmup_steps: 3}
)",
                                 settings);
}

/// Losses of a short training. They are read late, as the program does.
std::vector<float> losses(train::Experiment const& experiment, core::Device& device,
                          comm::Communicator& ranks) {
  core::cpu::Cpu host(1);
  auto const task = train::open_task(experiment.data, experiment.seed);
  auto model = train::make_model(experiment, device, ranks, task.train.data->shape(), task.classes);
  train::Trainer trainer(experiment, device, ranks, model, experiment.run.steps);
  train::Loader loader(host, task.train, experiment.data, experiment.seed, train::Pass::training,
                       ranks.rank(), ranks.size());
  train::LossHistory history(device, logged_every);
  std::vector<float> all;
  train::Batch batch;
  for (int step = 1; step <= steps; ++step) {
    loader.next(batch);
    history.add(trainer.step(batch));
    if (step % logged_every != 0 && step != steps) continue;
    auto const some = history.take();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

/// Losses on a GPU of the stand-in, opened for this training alone.
std::vector<float> losses_on_stand_in(train::Experiment const& experiment,
                                      fake_cuda::Settings const& settings) {
  fake_cuda::Under const under(settings);
  auto const device = core::cuda::open(0, {});
  auto const ranks = comm::open(tests::ranks().session, *device);
  return losses(experiment, *device, *ranks);
}

/// Steps that do not amplify rounding: those of a cosine head with its usual scale do, and batch
/// norm over the few rows of a rank.
Settings gentle(Settings settings) {
  settings.insert(settings.end(), {"optimizer.lr=1.0e-5", "model.batch_norm=sync"});
  return settings;
}

Settings cosine(std::string const& kind) {
  return gentle({"head.kind=" + kind, "head.bias=false"});
}

std::vector<Settings> all_settings() {
  return {{},
          {"run.cuda_graph=off"},
          {"head.logits=recompute"},
          {"head.logits=store", "optimizer.max_grad_norm=0.5"},
          gentle({"optimizer.accumulation_steps=2"}),
          gentle({"optimizer.max_grad_norm=0.5", "optimizer.accumulation_steps=2"}),
          {"head.passes=one"},
          {"head.passes=one", "optimizer.max_grad_norm=0.5"},
          {"head.label_smoothing=0.1", "head.z_loss=0.001"},
          {"head.kind=row_parallel"},
          {"head.sampling.rate=0.5"},
          {"head.storage=bf16_moments"},
          {"model.batch_norm=sync"},
          {"model.dropout=0.2"},
          {"model.trunk=conv", "model.features=auto"},
          {"data.global_batch_size=13"},
          {"data.global_batch_size=64"},
          {"optimizer.kind=adam", "optimizer.lr=1.0e-4"},
          {"optimizer.kind=lars"},
          {"head.shards=1"},
          {"precision=bf16"},
          {"precision=bf16", "head.logits=recompute", "run.cuda_graph=off"},
          cosine("normface"),
          cosine("cosface"),
          cosine("arcface"),
          cosine("sphereface"),
          cosine("combined"),
          cosine("adaface"),
          cosine("curricularface")};
}

/// The settings of the stand-in for experiment number `i`: two orders on one rank, one on several;
/// neighboring experiments and numbers of ranks have different ones.
std::vector<fake_cuda::Settings> stand_ins(size_t i) {
  using fake_cuda::Order;
  auto const ranks = static_cast<size_t>(tests::world().size());
  auto const seed =
      static_cast<uint64_t>(100 * i + 10 * ranks) + static_cast<uint64_t>(tests::world().rank());
  if (ranks == 1) return {{Order::random, seed}, {i % 2 == 0 ? Order::lazy : Order::eager, seed}};
  Order const orders[]{Order::random, Order::lazy, Order::eager};
  return {{orders[(i + ranks) % 3], seed}};
}

}  // namespace

TEST_CASE("stand-in for CUDA: training -> losses of the CPU", "[fake_cuda]") {
  auto const all = all_settings();
  for (size_t i = 0; i < all.size(); ++i) {
    CAPTURE(all[i]);
    auto const given = experiment(all[i]);
    core::cpu::Cpu cpu(1);
    auto const ranks = comm::open(tests::ranks().session, cpu);
    auto const expected = losses(given, cpu, *ranks);
    double const rounding =
        given.precision == train::Precision::bf16 ? bf16_rounding : f32_rounding;
    for (auto const& settings : stand_ins(i)) {
      CAPTURE(static_cast<int>(settings.order), settings.seed);
      auto const got = losses_on_stand_in(given, settings);
      REQUIRE(got.size() == expected.size());
      for (size_t step = 0; step < got.size(); ++step) {
        INFO("step " << step);
        CHECK(got[step] == Approx(expected[step]).epsilon(rounding));
      }
      CHECK(fake_cuda::take_misuses() == std::vector<std::string>{});
    }
  }
}
