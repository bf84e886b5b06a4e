// Failures of NCCL on the stand-in, on one rank: wherever a collective fails, the run ends with an
// exception, soon, and leaves nothing behind.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include "comm/nccl/communicator.h"
#include "comm/self.h"
#include "core/cpu/device.h"
#include "tests/support/fake_cuda/nccl.h"
#include "tests/support/fake_cuda/under.h"
#include "tests/support/reference.h"
#include "train/evaluation/evaluate.h"
#include "train/trainer/trainer.h"

namespace fake_cuda = tests::fake_cuda;
using Catch::Contains;
using core::Tensor;
using core::cuda::Cuda;
using fake_cuda::Failure;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// A GPU and its communicator, in the order of a program.
struct Rank {
  explicit Rank(comm::Clock::duration timeout)
      : stream(std::make_shared<comm::NcclStream>(device, timeout)),
        ranks(std::make_unique<comm::Nccl>(std::make_unique<comm::Self>(), stream)) {}

  Tensor ones() {
    Tensor t(device, {100}, core::Dtype::f32);
    device.kernels().fill(1, t);
    return t;
  }
  void reduce(Tensor& t) const { ranks->all_reduce(t, comm::Reduce::sum)->wait(); }
  /// Doubles t, after an all-reduce of it.
  std::unique_ptr<core::Graph> recorded(Tensor& t) {
    auto const work = [&] {
      Tensor copy = core::clone(t);
      reduce(copy);
      device.kernels().accumulate(1, copy, t);
    };
    return device.capture(work);
  }

  Cuda device{0, {}};
  std::shared_ptr<comm::NcclStream> stream;
  std::unique_ptr<comm::Nccl> ranks;
};

/// Fails a test that leaves communicators alive, or with calls that CUDA or NCCL forbid.
struct Clean {
  Clean() { fake_cuda::take_misuses(); }
  ~Clean() {
    fake_cuda::inject({});
    CHECK(fake_cuda::live_communicators() == before_);
    CHECK(fake_cuda::take_misuses() == std::vector<std::string>{});
  }
  Clean(Clean const&) = delete;
  Clean& operator=(Clean const&) = delete;

 private:
  int64_t before_ = fake_cuda::live_communicators();  // those of the program
};

/// Runs `body`; returns its exception's message, and "" if it throws none, within 5 s.
template <class F>
std::string outcome(F const& body) {
  auto const begin = comm::Clock::now();
  std::string message;
  try {
    body();
  } catch (std::exception const& error) {
    message = error.what();
  }
  CHECK(comm::Clock::now() - begin < seconds(5));
  return message;
}

/// A training of eight steps, the sixth of which has a smaller batch, and an evaluation: recorded,
/// replayed and eager collectives in turn.
void train_and_evaluate(comm::Clock::duration timeout) {
  auto const experiment = train::parse_experiment("test", R"(
precision: f32
run: {steps: 8}
data:
  {kind: synthetic, classes: 5, samples: 22, global_batch_size: 4, height: 8, width: 8,
   channels: 1}
model: {trunk: conv, width: 2, stride: 4}
)",
                                                  {});
  Rank rank(timeout);
  core::cpu::Cpu host(1);
  auto const task = train::open_task(experiment.data, experiment.seed);
  auto model = train::make_model(experiment, rank.device, *rank.ranks, task.train.data->shape(),
                                 task.classes);
  train::Trainer trainer(experiment, rank.device, *rank.ranks, model, experiment.run.steps);
  train::Loader loader(host, task.train, experiment.data, experiment.seed, train::Pass::training, 0,
                       1);
  train::Batch batch;
  float loss = 0;
  for (int step = 0; step < experiment.run.steps; ++step) {
    loader.next(batch);
    rank.device.download(trainer.step(batch), &loss);
  }
  train::evaluate(model, task.train, experiment, rank.device, *rank.ranks, nullptr);
}

}  // namespace

TEST_CASE("nccl: the n-th collective fails, for each n of a training -> exception within 5 s",
          "[nccl]") {
  auto const way = GENERATE(Failure::refused, Failure::reported, Failure::remote);
  int64_t const before = fake_cuda::collectives();
  {
    Clean const clean;
    REQUIRE(outcome([] { train_and_evaluate(seconds(60)); }).empty());
  }
  int64_t const calls = fake_cuda::collectives() - before;
  CHECK(calls > 20);
  for (int64_t n = 1; n <= calls; ++n) {
    INFO("call " << n << " of " << calls << ", way " << static_cast<int>(way));
    Clean const clean;
    fake_cuda::inject({.at = fake_cuda::collectives() + n, .way = way});
    CHECK_THAT(outcome([] { train_and_evaluate(seconds(60)); }), Contains("NCCL: "));
  }
}

TEST_CASE("nccl: a collective hangs, eager or captured -> Timeout that names it", "[nccl]") {
  Clean const clean;
  bool const captured = GENERATE(false, true);
  Rank rank(seconds(1));
  Tensor t = rank.ones();
  if (!captured) {
    fake_cuda::inject({.at = fake_cuda::collectives() + 1, .way = Failure::hang});
    auto const text = outcome([&] {
      rank.reduce(t);
      rank.device.synchronize();
    });
    CHECK_THAT(text, Contains("all_reduce of f32 on rank 0 of 1: still running after 1 s"));
    return;
  }
  fake_cuda::inject({.at = fake_cuda::collectives() + 1, .way = Failure::hang, .after = 2});
  auto const graph = rank.recorded(t);
  graph->replay();
  graph->replay();
  CHECK(tests::values(t) == std::vector<double>(100, 4));
  graph->replay();
  CHECK_THAT(outcome([&] { rank.device.synchronize(); }),
             Contains("a recorded step (after a recorded step): still running after 1 s"));
  CHECK_THROWS_AS(graph->replay(), comm::Timeout);
}

TEST_CASE("nccl: an error is reported during a replay -> thrown, naming the step", "[nccl]") {
  Clean const clean;
  Rank rank(seconds(60));
  Tensor t = rank.ones();
  fake_cuda::inject({.at = fake_cuda::collectives() + 1, .way = Failure::remote, .after = 1});
  auto const graph = rank.recorded(t);
  graph->replay();
  rank.device.synchronize();
  graph->replay();
  CHECK_THAT(outcome([&] { rank.device.synchronize(); }), Contains("NCCL: remote process exited"));
}

TEST_CASE("nccl: a failure while the caller owns a graph -> the caller goes on", "[nccl]") {
  Clean const clean;
  Rank rank(seconds(60));
  Tensor t = rank.ones();
  auto graph = rank.recorded(t);
  graph->replay();
  fake_cuda::inject({.at = fake_cuda::collectives() + 1, .way = Failure::reported});
  CHECK_THAT(outcome([&] { rank.reduce(t); }),
             Contains("all_reduce of f32 on rank 0 of 1: NCCL: "));
  // Later calls throw the same, and the groups of the process can be destroyed in any order.
  CHECK_THAT(outcome([&] { rank.reduce(t); }),
             Contains("all_reduce of f32 on rank 0 of 1: NCCL: "));
  bool const in_order = GENERATE(true, false);
  if (in_order) graph.reset();
  rank.ranks.reset();
  rank.stream.reset();
}

TEST_CASE("nccl: communicator destroyed before a graph -> the graph keeps it", "[nccl]") {
  Clean const clean;
  int64_t const before = fake_cuda::live_communicators();
  Rank rank(seconds(60));
  Tensor t = rank.ones();
  auto graph = rank.recorded(t);
  rank.ranks.reset();
  rank.stream.reset();
  CHECK(fake_cuda::live_communicators() == before + 1);
  graph->replay();
  CHECK(tests::values(t) == std::vector<double>(100, 2));
  graph.reset();
  CHECK(fake_cuda::live_communicators() == before);
}

TEST_CASE("nccl: a collective fails in a capture -> exception, and nothing of the graph is left",
          "[nccl]") {
  Clean const clean;
  auto const way = GENERATE(Failure::refused, Failure::reported);
  Rank rank(seconds(60));
  Tensor t = rank.ones();
  fake_cuda::inject({.at = fake_cuda::collectives() + 1, .way = way});
  CHECK_THAT(outcome([&] { rank.recorded(t); }),
             Contains("all_reduce of f32 on rank 0 of 1: NCCL"));
}

TEST_CASE("nccl: a collective is not waited for -> its tensors' memory is used again only after it",
          "[nccl]") {
  Clean const clean;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    fake_cuda::Under const under({.order = fake_cuda::Order::random, .seed = seed});
    Rank rank(seconds(60));
    {
      Tensor const mine = rank.ones();
      Tensor all = core::empty_like(mine);
      static_cast<void>(rank.ranks->all_gather(mine, {100}, all));
    }
    Tensor a = rank.ones(), b = rank.ones();
    rank.device.kernels().fill(5, a);
    rank.device.kernels().fill(6, b);
    CHECK(tests::values(a) == std::vector<double>(100, 5));
    CHECK(tests::values(b) == std::vector<double>(100, 6));
  }
}

TEST_CASE("nccl: first communicator -> buffers of graphs unregistered, unless the user sets it",
          "[nccl]") {
  Clean const clean;
  unsetenv("NCCL_GRAPH_REGISTER");
  { Rank const rank(seconds(60)); }
  CHECK(std::string(std::getenv("NCCL_GRAPH_REGISTER")) == "0");
  setenv("NCCL_GRAPH_REGISTER", "1", 1);
  { Rank const rank(seconds(60)); }
  CHECK(std::string(std::getenv("NCCL_GRAPH_REGISTER")) == "1");
  setenv("NCCL_GRAPH_REGISTER", "0", 1);
}
