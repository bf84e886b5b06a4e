// Speed of complete training steps of an experiment, on its configured device, without data
// loading: every step trains on the same batch in host memory.
//
//      mpirun -n 2 build/release/bench/step configs/resnet50.yaml [key=value ...] [--steps 30]
//
//  Prints the time per step, images per second, and the peak memory of tensors. A second run
//  synchronizes with the device after each phase and prints the time of each phase. The last line
//  contains the figures as JSON, with the keys of bench/peers/step.py's arguments, for
//  bench/compare.py. Every rank processes its share of the batch; times and memory are the maxima
//  over the ranks. --steps 0 prints the description of the run and runs nothing.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include "comm/open.h"
#include "core/cpu/device.h"
#include "train/config/fields.h"
#include "train/model/open_device.h"
#include "train/plan/measure.h"
#include "train/trainer/trainer.h"

namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string config;
  std::vector<std::string> settings;
  int64_t warm_up = 5, steps = 30;
  bool phases = true;
};

/// Measurements of a run, the same on every rank.
struct Figures {
  double seconds = 0;  ///< Time per step.
  double peak_bytes = 0, process_bytes = 0;
  double loss = 0;     ///< Loss of the last step.
  std::string phases;  ///< Table of phases; empty if not requested.
};

/// Returns the rank's share of the first batch.
train::Batch first_batch(train::Experiment const& experiment, train::Task const& task,
                         core::Device& host, comm::Communicator const& ranks) {
  auto config = experiment.data;
  config.prefetch_batches = 1;
  train::Loader loader(host, task.train, config, experiment.seed, train::Pass::training,
                       ranks.rank(), ranks.size());
  train::Batch batch;
  loader.next(batch);
  return batch;
}

/// Training steps of an experiment on this rank's device.
class Steps {
 public:
  Steps(train::Experiment const& experiment, core::Device& device, comm::Communicator& ranks)
      : experiment_(experiment),
        device_(device),
        ranks_(ranks),
        host_(1),
        task_(train::open_task(experiment.data, experiment.seed)),
        batch_(first_batch(experiment, task_, host_, ranks)) {}

  Figures measure(Arguments const& a) {
    auto model =
        train::make_model(experiment_, device_, ranks_, task_.train.data->shape(), task_.classes);
    train::Trainer trainer(experiment_, device_, ranks_, model, a.warm_up + a.steps);
    core::Tensor loss;
    run(trainer, a.warm_up, loss);
    trainer.phases().clear();
    double const seconds = run(trainer, a.steps, loss);

    Figures f{.seconds = seconds / static_cast<double>(a.steps)};
    auto const largest = [&](double mine) {
      return train::over_ranks(mine, comm::Reduce::max, device_, ranks_);
    };
    f.seconds = largest(f.seconds);
    f.peak_bytes = largest(static_cast<double>(device_.memory().peak));
    f.process_bytes = largest(train::process_memory().peak);
    float last = 0;
    device_.download(loss, &last);
    core::check(
        std::isfinite(last), "the loss is ", last, " after ", trainer.steps(),
        " steps: the training diverged, so its figures are meaningless; lower optimizer.lr");
    f.loss = last;
    f.phases = trainer.phases().table();
    return f;
  }

  /// Description of the run, with the keys of the peer's arguments.
  Json describe() const {
    bool const cpu = device_.on_host();
    auto const image = task_.train.data->shape();
    auto const& rule = experiment_.optimizer;
    return {{"program", "colonnade"},
            {"device", cpu ? "cpu" : "cuda"},
            {"device_name", device_.describe()},
            {"ranks", ranks_.size()},
            {"precision", core::name(train::resolve(experiment_.precision, device_))},
            {"tf32", experiment_.run.tf32},
            {"trunk", train::names<train::Trunk>[static_cast<size_t>(experiment_.model.trunk)]},
            {"features", experiment_.model.features ? Json(*experiment_.model.features) : Json()},
            {"model_width", experiment_.model.width},
            {"model_depth", experiment_.model.depth},
            {"model_kernel", experiment_.model.kernel},
            {"model_stride", experiment_.model.stride},
            {"height", image.height},
            {"width", image.width},
            {"channels", image.channels},
            {"classes", task_.classes},
            {"bias", experiment_.head.bias},
            {"global_batch_size", comm::begin_of(batch_.counts, ranks_.size())},
            {"lr", rule.lr},
            {"momentum", rule.momentum},
            {"weight_decay", rule.weight_decay}};
  }

 private:
  /// Time from the start of the first to the end of the last of `steps` steps, in seconds.
  double run(train::Trainer& trainer, int64_t steps, core::Tensor& loss) {
    using Clock = std::chrono::steady_clock;
    device_.synchronize();
    ranks_.barrier();
    auto const start = Clock::now();
    for (int64_t i = 0; i < steps; ++i) loss = trainer.step(batch_);
    device_.synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  train::Experiment const& experiment_;
  core::Device& device_;
  comm::Communicator& ranks_;
  core::cpu::Cpu host_;
  train::Task task_;
  train::Batch batch_;
};

/// Returns why the steps are not captured as a CUDA graph; "" if they are.
std::string why_not_replayed(train::Experiment const& experiment, core::Device const& device) {
  auto const why_not = train::why_not_captured(experiment, device);
  if (!why_not.empty()) return why_not;
  return experiment.run.cuda_graph == train::CudaGraph::off ? "run.cuda_graph: off" : "";
}

void print(Json const& what, Figures const& f, int64_t steps) {
  std::printf("%s, %s, %ld x %ld, %ld classes, %s, batch %ld on %d ranks\n",
              what["device_name"].get<std::string>().c_str(),
              what["trunk"].get<std::string>().c_str(), what["height"].get<int64_t>(),
              what["width"].get<int64_t>(), what["classes"].get<int64_t>(),
              what["precision"].get<std::string>().c_str(),
              what["global_batch_size"].get<int64_t>(), what["ranks"].get<int>());
  auto const why_not = what["why_not_captured"].get<std::string>();
  std::printf("steps as a CUDA graph: %s\n",
              why_not.empty() ? "captured and replayed" : ("no: " + why_not).c_str());
  std::printf("%.2f ms per step, %.1f images/s over %ld steps, final loss %.4f\n", 1e3 * f.seconds,
              what["global_batch_size"].get<double>() / f.seconds, steps, f.loss);
  std::printf("peak memory: %.1f MB of tensors, %.1f MB of the process\n\n", 1e-6 * f.peak_bytes,
              1e-6 * f.process_bytes);
}

Json json(Json what, Figures const& f, int64_t steps) {
  what["steps"] = steps;
  what["ms_a_step"] = 1e3 * f.seconds;
  what["images_a_second"] = what["global_batch_size"].get<double>() / f.seconds;
  what["peak_bytes"] = f.peak_bytes;
  what["process_bytes"] = f.process_bytes;
  what["loss"] = f.loss;
  return what;
}

void run(train::Experiment const& experiment, Arguments const& a, comm::Session& session) {
  auto const device = train::open_device(experiment, session);
  auto const joined = comm::open(session, *device);
  comm::Communicator& ranks = *joined;
  bool const tells = ranks.rank() == 0;
  auto plain = experiment;
  plain.run.profile = false;
  Steps steps(plain, *device, ranks);
  auto what = steps.describe();
  what["why_not_captured"] = why_not_replayed(plain, *device);
  if (a.steps > 0) {
    auto const figures = steps.measure(a);
    if (tells) print(what, figures, a.steps);
    what = json(what, figures, a.steps);
  }
  if (a.steps > 0 && a.phases) {
    auto profiled = experiment;
    profiled.run.profile = true;
    auto const figures = Steps(profiled, *device, ranks).measure(a);
    if (tells)
      std::printf("Second run, synchronized after each phase (%.2f ms per step):\n%s\n",
                  1e3 * figures.seconds, figures.phases.c_str());
  }
  if (tells) std::cout << what << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Measures the speed of an experiment's training steps");
  app.add_option("config", a.config, "experiment file (YAML)")->required();
  app.add_option("settings", a.settings,
                 "settings that override the file, for example data.global_batch_size=64");
  app.add_option("--steps", a.steps, "number of timed steps; 0: only describe the run")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--warm-up", a.warm_up, "number of untimed steps before the timed ones")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--phases,!--no-phases", a.phases, "run a second time to measure the phases");
  try {
    app.parse(argc, argv);
    auto const experiment = train::read_experiment(a.config, a.settings);
    comm::Session session(argc, argv);
    return session.run(
        [&] {
          run(experiment, a, session);
          return 0;
        },
        [](std::exception const& error) {
          std::cerr << "step: " << error.what() << std::endl;
          return 1;
        });
  } catch (CLI::ParseError const& error) {
    return app.exit(error);
  } catch (core::Error const& error) {
    std::cerr << "step: " << error.what() << std::endl;
    return 2;
  }
}
