#include "train/trainer/run.h"
#include <algorithm>
#include <cmath>
#include <fstream>
#include "comm/timeout.h"
#include "core/cpu/device.h"
#include "train/errors.h"
#include "train/evaluation/evaluate.h"
#include "train/report/report.h"
#include "train/trainer/loss_history.h"
#include "train/trainer/traffic.h"
#include "train/trainer/trainer.h"
#include "train/weights/load_weights.h"

namespace train {
namespace fs = std::filesystem;
namespace {

/// Prepares the run folder and writes the resolved configuration into it.
void prepare_folder(Experiment const& experiment, Existing existing, comm::Communicator& ranks) {
  fs::path const folder = experiment.run.out;
  bool const holds_a_run =
      fs::exists(folder / "metrics.jsonl") || fs::exists(folder / "checkpoints");
  if (holds_a_run && existing == Existing::refuse) {
    throw ConfigError(folder.string() +
                      " already holds a run: continue it with --resume, replace it with "
                      "--overwrite, or choose another folder with run.out=FOLDER");
  }
  ranks.barrier();  // every rank has looked before rank 0 writes
  if (ranks.rank() == 0) {
    std::error_code error;
    if (existing == Existing::overwrite) {
      fs::remove_all(folder / "checkpoints", error);
      fs::remove(folder / "metrics.jsonl", error);
    }
    fs::create_directories(folder, error);
    std::ofstream file(folder / "config.yaml");
    file << to_yaml(with_absolute_paths(experiment)) << std::flush;
    if (!file) throw IoError("cannot write " + (folder / "config.yaml").string());
  }
  ranks.barrier();
}

int64_t total_steps(RunConfig const& run, int64_t batches_per_epoch) {
  int64_t const by_epochs = run.epochs * batches_per_epoch;
  if (run.steps == 0) return by_epochs;
  return run.epochs == 0 ? run.steps : std::min(run.steps, by_epochs);
}

constexpr int64_t warm_up_steps = 5;  ///< steps that a profile excludes

constexpr int64_t most_skipped = 10;  ///< skipped steps in a row that end a run

/// The mean of the finite losses; NaN if there are none.
double mean_of_finite(std::vector<float> const& losses) {
  double sum = 0;
  auto const count = std::ranges::count_if(losses, [](float loss) { return std::isfinite(loss); });
  for (float const loss : losses) sum += std::isfinite(loss) ? loss : 0;
  return sum / static_cast<double>(count);
}

/// Throws ConfigError if run.cuda_graph is on and the steps cannot be captured.
void check_cuda_graph(Experiment const& experiment, core::Device const& device) {
  auto const why_not = why_not_captured(experiment, device);
  if (experiment.run.cuda_graph == CudaGraph::on && !why_not.empty())
    throw ConfigError("run.cuda_graph: on, but steps cannot be captured: " + why_not);
}

/// A training run: its parts, which live as long as the run, and the work between steps.
class TrainingRun {
 public:
  TrainingRun(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
              Console const& console);
  void go(Existing existing);

 private:
  bool resume();
  core::Tensor step(Batch const& batch);
  void report_profile();
  void after_step(Batch const& batch);
  void log(Batch const& batch);
  void count_skipped(std::vector<float> const& losses);
  void evaluate_all(int64_t epoch);
  void save();
  bool last() const { return position_.step == total_; }

  Experiment const& experiment_;
  core::Device& device_;
  std::optional<StepTraffic> traffic_;  ///< bytes sent, if profiling
  comm::Communicator& ranks_;
  core::cpu::Cpu host_;
  Task task_;
  int64_t batches_;  ///< batches of an epoch
  int64_t total_;
  Model model_;
  Trainer trainer_;
  Checkpoints checkpoints_;
  Report report_;
  LossHistory losses_;
  int64_t skipped_ = 0;  ///< skipped steps in a row
  Position position_;
};

TrainingRun::TrainingRun(Experiment const& experiment, core::Device& device,
                         comm::Communicator& ranks, Console const& console)
    : experiment_(experiment),
      device_(device),
      traffic_(experiment.run.profile ? std::make_optional<StepTraffic>(ranks) : std::nullopt),
      ranks_(traffic_ ? traffic_->ranks() : ranks),
      host_(1),
      task_(open_task(experiment.data, experiment.seed)),
      batches_((task_.train.data->size() + experiment.data.global_batch_size - 1) /
               experiment.data.global_batch_size),
      total_(total_steps(experiment.run, batches_)),
      model_(make_model(experiment, device, ranks_, task_.train.data->shape(), task_.classes)),
      trainer_(experiment, device, ranks_, model_, total_),
      checkpoints_(fs::path(experiment.run.out) / "checkpoints", ranks,
                   experiment.checkpoint.keep_last),
      report_(fs::path(experiment.run.out) / "metrics.jsonl",
              ranks.rank() == 0 ? std::optional(console) : std::nullopt),
      losses_(device, experiment.run.log_every) {}

/// Returns false if there is no checkpoint.
bool TrainingRun::resume() {
  auto state = trainer_.snapshot(task_.classes);
  auto const found = checkpoints_.load(state, [&](std::string const& text) { report_.note(text); });
  if (!found) return false;
  position_ = *found;
  trainer_.restored(position_.step);
  return true;
}

void TrainingRun::go(Existing existing) {
  bool const resumed = existing == Existing::resume && resume();
  auto const weights =
      resumed || experiment_.init.from.empty() ? "" : load_weights(experiment_, model_);
  report_.begin({.out = experiment_.run.out,
                 .device = device_.describe(),
                 .precision = core::name(model_.dtype),
                 .ranks = ranks_.size(),
                 .image = model_.image,
                 .classes = task_.classes,
                 .samples = task_.train.data->size(),
                 .steps = total_,
                 .steps_per_epoch = batches_,
                 .first_step = position_.step});
  if (auto const why_not = why_not_captured(experiment_, device_);
      device_.can_capture() && experiment_.run.cuda_graph == CudaGraph::automatic &&
      !why_not.empty())
    report_.note("steps are not captured as a CUDA graph: " + why_not);
  if (!weights.empty()) report_.note(weights);
  report_.note(model_.head->describe(experiment_.data.global_batch_size /
                                     experiment_.optimizer.accumulation_steps));
  if (experiment_.checkpoint.initial && !resumed) save();
  Loader loader(host_, task_.train, experiment_.data, experiment_.seed, Pass::training,
                ranks_.rank(), ranks_.size(), position_.epoch, position_.batch);
  Batch batch;
  while (!last()) {
    report_.resume();
    trainer_.phases().begin("waiting for data");
    auto const asked = comm::Clock::now();
    loader.next(batch);
    report_.waited(std::chrono::duration<double>(comm::Clock::now() - asked).count());
    auto const loss = step(batch);
    losses_.add(loss);
    report_.trained(comm::begin_of(batch.counts, ranks_.size()));
    after_step(batch);
  }
  if (experiment_.run.profile) report_profile();
  report_.end();
}

core::Tensor TrainingRun::step(Batch const& batch) {
  if (!traffic_) return trainer_.step(batch);
  traffic_->begin_step();
  auto const loss = trainer_.step(batch);
  auto sizes = step_sizes(experiment_, model_, ranks_.size());
  sizes.batch = comm::begin_of(batch.counts, ranks_.size());
  traffic_->end_step(sizes);
  return loss;
}

void TrainingRun::report_profile() {
  report_.note(trainer_.phases().table());
  auto const table = traffic_->table(device_);  // of all ranks
  if (ranks_.size() > 1) report_.note(table);
}

void TrainingRun::after_step(Batch const& batch) {
  bool const epoch_ends = batch.index + 1 == batches_;
  position_ = {position_.step + 1, batch.epoch + epoch_ends, epoch_ends ? 0 : batch.index + 1};
  bool const save_now = last() || (experiment_.checkpoint.every_steps > 0 &&
                                   position_.step % experiment_.checkpoint.every_steps == 0);
  // The first steps of a run build primitives and touch fresh memory.
  if (position_.step == warm_up_steps) {
    trainer_.phases().clear();
    if (traffic_) traffic_->clear();
  }
  if (save_now || position_.step % experiment_.run.log_every == 0 || position_.step == 1)
    log(batch);
  if (save_now) save();
  int64_t const every = experiment_.run.eval_every_epochs;
  bool const due = epoch_ends && every > 0 && position_.epoch % every == 0;
  if (last() || due) evaluate_all(batch.epoch);
}

void TrainingRun::log(Batch const& batch) {
  auto const losses = losses_.take();
  report_.step({.step = position_.step,
                .epoch = batch.epoch,
                .loss = losses.back(),
                .mean_loss = mean_of_finite(losses),
                .lr = trainer_.lr(),
                .memory = static_cast<int64_t>(device_.memory().peak)});
  count_skipped(losses);
}

/// A step whose loss is not finite changes nothing, on any rank. A single one may be due to its
/// batch; many in a row are due to the weights.
void TrainingRun::count_skipped(std::vector<float> const& losses) {
  int64_t skipped = 0;
  for (float const loss : losses) {
    skipped_ = std::isfinite(loss) ? 0 : skipped_ + 1;
    skipped += !std::isfinite(loss);
  }
  if (skipped_ >= most_skipped || (last() && skipped_ > 0))
    throw Diverged(
        core::join("the loss is ", losses.back(), " at step ", position_.step, ", and ", skipped_,
                   " steps in a row were skipped: the training diverged; lower "
                   "optimizer.lr, warm up longer or set optimizer.max_grad_norm. The last "
                   "checkpoint is intact"));
  if (skipped > 0)
    report_.note(core::join("step ", position_.step, ": ", skipped, " of the last ", losses.size(),
                            losses.size() == 1 ? " step" : " steps",
                            " skipped, as the loss was not finite"));
}

void TrainingRun::save() {
  report_.pause();
  checkpoints_.save(trainer_.snapshot(task_.classes), position_);
}

void TrainingRun::evaluate_all(int64_t epoch) {
  report_.pause();
  for (auto const& split : task_.evaluation) {
    report_.score(position_.step, epoch, evaluate(model_, split, experiment_, device_, ranks_));
  }
}

}  // namespace

void train(Experiment const& experiment, Existing existing, core::Device& device,
           comm::Communicator& ranks, Console const& console) {
  check_cuda_graph(experiment, device);
  prepare_folder(experiment, existing, ranks);
  TrainingRun(experiment, device, ranks, console).go(existing);
}

}  // namespace train
