#include "train/commands/bench_head.h"
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include "comm/open.h"
#include "core/cpu/device.h"
#include "core/kernels.h"
#include "train/config/fields.h"
#include "train/errors.h"
#include "train/formats/tensor_file.h"
#include "train/model/make_head.h"
#include "train/model/model.h"
#include "train/model/open_device.h"
#include "train/plan/measure.h"
#include "train/plan/product_rates.h"
#include "train/trainer/optimizer.h"
#include "train/trainer/step_graph.h"
#include "train/trainer/trainer.h"

namespace train {
namespace {

using comm::Reduce;
using core::Tensor;
using Json = nlohmann::ordered_json;

enum Draw : uint64_t { features, labels };  ///< streams of Purpose::synthetic

/// Returns the experiment whose head and optimizer are measured.
/// Throws: ConfigError if the settings are invalid.
Experiment experiment_of(BenchHead const& bench) {
  auto const text =
      core::join("data: {kind: synthetic, global_batch_size: ", bench.batch,
                 ", classes: ", bench.classes, ", samples: ", bench.batch,
                 "}\nrun: {steps: 1}\noptimizer: {lr: 0.01, momentum: 0.9, weight_decay: 0}\n");
  auto experiment = parse_experiment("bench head", text, bench.settings);
  experiment.device = bench.device;
  experiment.precision = bench.precision;
  experiment.seed = bench.seed;
  experiment.run.threads = bench.threads;
  if (experiment.head.kind == HeadKind::row_parallel)
    throw ConfigError(
        "bench head: head.kind: row_parallel is not supported; choose a class-sharded head");
  return experiment;
}

/// This rank's rows of the batch: features (b, D) in the dtype of the products, and labels (b).
class Rows {
 public:
  Rows(BenchHead const& bench, core::Device& device, comm::Communicator const& ranks)
      : counts(comm::split_evenly(bench.batch, ranks.size())) {
    int64_t const first = comm::begin_of(counts, ranks.rank());
    int64_t const count = counts[static_cast<size_t>(ranks.rank())];
    x = draw_features(bench, device, first, count);
    y = Tensor(device, {count}, core::Dtype::i64);
    auto const all = draw_labels(bench);
    device.upload(all.data() + first, y);
  }

  comm::Counts counts;  ///< rows of every rank
  Tensor x, y;

 private:
  static Tensor draw_features(BenchHead const& bench, core::Device& device, int64_t first,
                              int64_t count) {
    auto const dtype = resolve(bench.precision, device);
    Tensor wide(device, {count, bench.features}, core::accumulator(dtype));
    device.kernels().random_normal({bench.seed, core::Purpose::synthetic, Draw::features},
                                   first * bench.features, 0, 1, wide);
    if (wide.dtype() == dtype) return wide;
    Tensor narrow(device, wide.shape(), dtype);
    device.kernels().convert(wide, narrow);
    return narrow;
  }

  static std::vector<int64_t> draw_labels(BenchHead const& bench) {
    core::Random random({bench.seed, core::Purpose::synthetic, Draw::labels});
    std::vector<int64_t> all(static_cast<size_t>(bench.batch));
    for (auto& label : all)
      label = static_cast<int64_t>(random.below(static_cast<uint64_t>(bench.classes)));
    return all;
  }
};

/// A head that is trained on one batch, with steps captured as a graph where training does so.
class HeadSteps {
 public:
  HeadSteps(BenchHead const& bench, core::Device& device, comm::Communicator& ranks)
      : bench_(bench),
        experiment_(experiment_of(bench)),
        device_(device),
        ranks_(ranks),
        mesh_(ranks, experiment_.head.shards.value_or(ranks.size())),
        rows_(bench, device, ranks),
        dx_(core::empty_like(rows_.x)),
        step_scalars_(device, {4}, core::Dtype::f64),
        one_(device, {1}, core::accumulator(rows_.x.dtype())),
        graph_(
            device, [this](StepInputs const& inputs) { return run_step(inputs); },
            experiment_.run.cuda_graph != CudaGraph::off &&
                why_not_captured(experiment_, device).empty()) {
    device.kernels().fill(1, one_);
    layers::Context const context{device, resolve(bench.precision, device), bench.seed, {}};
    head_ = make_sharded_head(context, experiment_, mesh_, bench.features, bench.classes);
  }

  layers::ShardedHead const& head() const { return *head_; }
  Rows const& rows() const { return rows_; }
  Tensor const& dx() const { return dx_; }  ///< gradient of the features in the last step, (b, D)

  /// Runs a step and returns its loss, (1).
  Tensor step() {
    auto const numbers =
        core::make_step_scalars(update_rule(experiment_, step_scalars_, core::Role::weight),
                                experiment_.optimizer.lr, ++number_);
    device_.upload(numbers.data(), step_scalars_);
    return graph_.run({rows_.x, rows_.y, rows_.counts});
  }

  bool warming_up() const { return graph_.warming_up(); }
  bool captures() const { return graph_.captures(); }

  /// Runs a step and returns its time in seconds on the slowest rank.
  double timed_step() {
    using Clock = std::chrono::steady_clock;
    device_.synchronize();
    ranks_.barrier();
    auto const start = Clock::now();
    step();
    device_.synchronize();
    double const mine = std::chrono::duration<double>(Clock::now() - start).count();
    return over_ranks(mine, Reduce::max, device_, ranks_);
  }

  /// Returns the weights of all ranks, (C, D).
  Tensor weight() {
    auto const state = head_->state();
    auto const found = std::find_if(state.begin(), state.end(),
                                    [](auto const& one) { return one.name == "head.weight"; });
    return layers::gather_rows(ranks_, found->tensor,
                               comm::split_evenly(bench_.classes, ranks_.size()));
  }

 private:
  Tensor run_step(StepInputs const& inputs) {
    head_->set_step(head_step(experiment_, step_scalars_, number_, experiment_.head.sampling.rate));
    core::Tape tape;
    auto const x = tape.input(inputs.images);
    auto const loss = head_->loss(tape, x, inputs.labels, inputs.counts);
    tape.backward(loss, one_);
    head_->finish();
    device_.copy(tape.grad(x), dx_);
    return loss.value;
  }

  BenchHead const& bench_;
  Experiment experiment_;
  core::Device& device_;
  comm::Communicator& ranks_;
  comm::Mesh mesh_;
  Rows rows_;
  int64_t number_ = 0;  ///< number of the current step, from 1
  std::unique_ptr<layers::ShardedHead> head_;
  Tensor dx_, step_scalars_;
  Tensor one_;  ///< seed of backward
  StepGraph graph_;
};

/// Returns a copy in f32.
Tensor widened(Tensor const& t) {
  Tensor wide(t.device(), t.shape(), core::Dtype::f32);
  t.device().kernels().convert(t, wide);
  return wide;
}

/// Runs the steps; rank 0 writes their inputs and results to a file.
void write_check(BenchHead const& bench, core::Device& device, comm::Communicator& ranks) {
  HeadSteps steps(bench, device, ranks);
  auto const all = [&](Tensor const& mine) {
    return layers::gather_rows(ranks, mine, steps.rows().counts);
  };
  Tensor const weight = core::clone(steps.weight());
  std::vector<float> losses;
  for (int64_t i = 0; i < bench.steps; ++i) {
    losses.emplace_back();
    device.download(steps.step(), &losses.back());
  }
  Tensor history(device, {bench.steps}, core::Dtype::f32);
  device.upload(losses.data(), history);
  auto const x = widened(all(steps.rows().x)), dx = widened(all(steps.dx()));
  auto const y = all(steps.rows().y), updated = steps.weight();
  if (ranks.rank() == 0)
    write_tensors(bench.check, {{"x", x},
                                {"labels", y},
                                {"weight", weight},
                                {"losses", history},
                                {"dx", dx},
                                {"updated", updated}});
  ranks.barrier();
}

/// Measurements, the same on every rank.
struct Figures {
  std::vector<double> seconds;  ///< time of each step
  double loss = 0;              ///< loss of the last step
  double peak_bytes = 0;        ///< peak memory of tensors, on the rank that uses the most
  double process_bytes = 0;     ///< increase of process memory by the head and its steps, likewise
  double all_peak_bytes = 0, all_process_bytes = 0;  ///< sums over ranks
  bool captured = false;                             ///< steps were replayed as a graph
  int64_t chunk = 0;
  int products = 0;  ///< matrix products B × C_r × D per step
  ProductRates rates;
};

Figures measure(BenchHead const& bench, core::Device& device, comm::Communicator& ranks) {
  double const before = process_memory().now;
  HeadSteps steps(bench, device, ranks);
  for (int64_t i = 0; i < bench.warm_up || steps.warming_up(); ++i) steps.step();
  Figures f;
  f.captured = steps.captures();
  for (int64_t i = 0; i < bench.steps; ++i) f.seconds.push_back(steps.timed_step());

  double const taken = process_memory().peak - before;
  auto const tensors = static_cast<double>(device.memory().peak);
  auto const of_ranks = [&](double mine, Reduce how) {
    return over_ranks(mine, how, device, ranks);
  };
  f.process_bytes = of_ranks(taken, Reduce::max);
  f.peak_bytes = of_ranks(tensors, Reduce::max);
  f.all_process_bytes = of_ranks(taken, Reduce::sum);
  f.all_peak_bytes = of_ranks(tensors, Reduce::sum);
  float loss = 0;
  device.download(steps.step(), &loss);
  f.loss = loss;
  f.chunk = steps.head().chunk(bench.batch);
  f.products = steps.head().stores(bench.batch) ? 3 : 4;
  ranks.barrier();
  f.rates = measure_products(device, resolve(bench.precision, device), bench.batch, bench.features,
                             std::min(f.chunk, bench.classes));
  return f;
}

/// Returns the time in seconds of all matrix products of a step at the rates measured alone, on the
/// rank with the most classes.
double product_seconds(BenchHead const& bench, Figures const& f, int64_t most) {
  auto const chunk = static_cast<double>(std::min(f.chunk, bench.classes));
  double const of_a_chunk = f.rates.logits * (f.products - 2) + f.rates.features + f.rates.weights;
  return of_a_chunk * static_cast<double>(most) / chunk;
}

/// Returns the GFLOP/s of a matrix product of one chunk.
double rate(BenchHead const& bench, Figures const& f, double seconds) {
  auto const chunk = static_cast<double>(std::min(f.chunk, bench.classes));
  return 2e-9 * static_cast<double>(bench.batch) * static_cast<double>(bench.features) * chunk /
         seconds;
}

Json describe(BenchHead const& bench, core::Device& device, comm::Communicator const& ranks) {
  bool const cpu = device.on_host();
  return {{"program", "colonnade"},
          {"device", cpu ? "cpu" : "cuda"},
          {"device_name", device.describe()},
          {"ranks", ranks.size()},
          {"classes", bench.classes},
          {"features", bench.features},
          {"batch", bench.batch},
          {"precision", core::name(resolve(bench.precision, device))},
          {"rate", experiment_of(bench).optimizer.lr},
          {"momentum", experiment_of(bench).optimizer.momentum}};
}

void add(Json& all, BenchHead const& bench, Figures const& f, comm::Communicator const& ranks) {
  int64_t const most = comm::split_evenly(bench.classes, ranks.size()).front();
  double const seconds = median(f.seconds), products = product_seconds(bench, f, most);
  double const flops = 2.0 * f.products * static_cast<double>(bench.batch) *
                       static_cast<double>(most) * static_cast<double>(bench.features);
  all["logits"] = f.products == 3 ? "store" : "recompute";
  all["chunk"] = f.chunk;
  all["captured"] = f.captured;
  all["steps"] = bench.steps;
  all["ms_a_step"] = 1e3 * seconds;
  all["ms_of_steps"] = Json::array();
  for (double const one : f.seconds) all["ms_of_steps"].push_back(1e3 * one);
  all["loss"] = f.loss;
  all["peak_bytes"] = f.peak_bytes;
  all["process_bytes"] = f.process_bytes;
  all["all_peak_bytes"] = f.all_peak_bytes;
  all["all_process_bytes"] = f.all_process_bytes;
  all["gflops_logits"] = rate(bench, f, f.rates.logits);
  all["gflops_features"] = rate(bench, f, f.rates.features);
  all["gflops_weights"] = rate(bench, f, f.rates.weights);
  all["gflops_peak"] = 1e-9 * f.rates.peak;
  all["share_of_products"] = products / seconds;
  all["share_of_peak"] = flops / f.rates.peak / seconds;
}

void print(Json const& f, std::ostream& out) {
  auto const number = [&](char const* key) { return f[key].get<double>(); };
  out << f["device_name"].get<std::string>() << "; ranks: " << f["ranks"]
      << ", classes: " << f["classes"] << ", features: " << f["features"]
      << ", batch size: " << f["batch"] << ", " << f["precision"].get<std::string>() << '\n'
      << number("ms_a_step") << " ms per step (median of " << f["steps"] << "), loss "
      << number("loss") << "; logits: " << f["logits"].get<std::string>()
      << ", classes per chunk: " << f["chunk"]
      << (f["captured"].get<bool>() ? ", captured as a graph" : ", without a graph") << "\n"
      << "peak memory per rank: " << 1e-6 * number("peak_bytes")
      << " MB in tensors; increase of process memory: " << 1e-6 * number("process_bytes") << " MB\n"
      << "matrix products alone, in GFLOP/s per rank: X W^T " << number("gflops_logits") << ", G W "
      << number("gflops_features") << ", G^T X " << number("gflops_weights")
      << "; large square product " << number("gflops_peak") << '\n'
      << "fraction of the step that its products would take: " << 100 * number("share_of_products")
      << " % at the rates of a chunk, " << 100 * number("share_of_peak")
      << " % at that of the large square product\n";
}

}  // namespace

void bench_head(BenchHead const& bench, comm::Session& session, std::ostream& out) {
  if (session.size() > bench.classes)
    throw ConfigError(core::join(session.size(), " ranks, but the number of classes is ",
                                 bench.classes, ": a rank would hold none; start at most ",
                                 bench.classes, ", or increase --classes"));
  auto const device = open_device(experiment_of(bench), session);
  auto const ranks = comm::open(session, *device);
  auto figures = describe(bench, *device, *ranks);
  if (!bench.check.empty()) {
    write_check(bench, *device, *ranks);
    if (ranks->rank() == 0) out << figures << std::endl;
    return;
  }
  add(figures, bench, measure(bench, *device, *ranks), *ranks);
  if (ranks->rank() != 0) return;
  print(figures, out);
  out << figures << std::endl;
}

}  // namespace train
