#include "train/data/loader.h"
#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>
#include "train/data/augment.h"
#include "train/data/permutation.h"

namespace train {
namespace {

std::vector<float> per_channel(std::vector<double> const& values, int64_t channels,
                               char const* name) {
  if (values.size() == 1) return std::vector(static_cast<size_t>(channels), float(values[0]));
  if (static_cast<int64_t>(values.size()) != channels)
    throw ConfigError(
        core::join("data.", name, ": ", values.size(), " values for ", channels, " channels"));
  return {values.begin(), values.end()};
}

}  // namespace

/// Worker threads take batch numbers in turn and put each finished batch into `ready`, from which
/// `next` takes them in order. Batches are numbered from the first batch of epoch 0.
struct Loader::State {
  struct Made {
    Batch batch;
    std::exception_ptr failure;
  };

  State(core::Device& host_device, Split const& split, DataConfig const& data_config);
  void read(int64_t sample, int64_t epoch, Augmenter& augmenter, float* pixels) const;
  Made make(int64_t number, Augmenter& augmenter, std::stop_token const& stop);
  void work(std::stop_token const& stop);

  core::Device& host;
  std::shared_ptr<Dataset const> data;
  DataConfig config;
  uint64_t seed = 0;
  Pass pass = Pass::training;
  int rank = 0, ranks = 1;
  Augmenter augmenter;  // each thread has a copy
  std::vector<float> mean, stddev;
  int64_t batches;  // per epoch

  std::mutex mutex;  // guards the members below
  std::condition_variable_any room;
  std::condition_variable made;
  int64_t taken = 0, given = 0, end = INT64_MAX;  // batch numbers
  std::map<int64_t, Made> ready;

  std::vector<std::jthread>
      threads;  // last member: joined before the members they use are destroyed
};

Loader::State::State(core::Device& host_device, Split const& split, DataConfig const& data_config)
    : host(host_device),
      data(split.data),
      config(data_config),
      augmenter(config.augment, data->shape()),
      mean(per_channel(config.mean, data->shape().channels, "mean")),
      stddev(per_channel(config.std, data->shape().channels, "std")),
      batches(0) {
  core::check(config.global_batch_size >= 1, "data.global_batch_size must be at least 1, got ",
              config.global_batch_size);
  core::check(config.workers >= 1 && config.prefetch_batches >= 1,
              "data.workers and data.prefetch_batches must be at least 1");
  batches = (data->size() + config.global_batch_size - 1) / config.global_batch_size;
}

/// Reads, augments and normalizes a sample.
void Loader::State::read(int64_t sample, int64_t epoch, Augmenter& change, float* pixels) const {
  data->read(sample, pixels);
  if (pass == Pass::training) {
    auto const item = static_cast<uint64_t>(epoch * data->size() + sample);
    change(pixels, {seed, core::Purpose::augmentation, item});
  }
  auto const channels = static_cast<int64_t>(mean.size());
  for (int64_t channel = 0; channel < channels; ++channel) {
    float const m = mean[static_cast<size_t>(channel)], d = stddev[static_cast<size_t>(channel)];
    for (int64_t i = channel; i < data->shape().count(); i += channels)
      pixels[i] = (pixels[i] - m) / d;
  }
}

/// Reads one batch. Returns an incomplete batch if a stop is requested; it is never fetched.
Loader::State::Made Loader::State::make(int64_t number, Augmenter& change,
                                        std::stop_token const& stop) try {
  Batch batch;
  batch.epoch = number / batches;
  batch.index = number % batches;
  int64_t const begin = batch.index * config.global_batch_size;
  batch.counts =
      comm::split_evenly(std::min(config.global_batch_size, data->size() - begin), ranks);
  batch.first_sample = comm::begin_of(batch.counts, rank);
  int64_t const rows = batch.counts[static_cast<size_t>(rank)];
  core::ImageShape const shape = data->shape();
  batch.images = {host, {rows, shape.height, shape.width, shape.channels}, core::Dtype::f32};
  batch.labels = {host, {rows}, core::Dtype::i64};

  bool const shuffle = pass == Pass::training && config.shuffle;
  Permutation const order(data->size(),
                          {seed, core::Purpose::order, static_cast<uint64_t>(batch.epoch)});
  for (int64_t row = 0; row < rows && !stop.stop_requested(); ++row) {
    int64_t const place = begin + batch.first_sample + row;
    int64_t const sample = shuffle ? order(place) : place;
    read(sample, batch.epoch, change, batch.images.data<float>() + row * shape.count());
    batch.labels.data<int64_t>()[row] = data->label(sample);
  }
  return {std::move(batch), nullptr};
} catch (...) {
  return {{}, std::current_exception()};
}

void Loader::State::work(std::stop_token const& stop) {
  Augmenter change = augmenter;
  std::unique_lock lock(mutex);
  while (room.wait(lock, stop, [&] { return taken < given + config.prefetch_batches; }) &&
         taken < end) {
    int64_t const number = taken++;
    lock.unlock();
    Made batch = make(number, change, stop);
    lock.lock();
    ready.emplace(number, std::move(batch));
    made.notify_one();
  }
}

Loader::Loader(core::Device& host, Split const& split, DataConfig const& config, uint64_t seed,
               Pass pass, int rank, int ranks, int64_t epoch, int64_t first)
    : state_(std::make_unique<State>(host, split, config)) {
  State& state = *state_;
  core::check(pass == Pass::evaluation || state.batches > 0, "the training split has no images");
  core::check(0 <= rank && rank < ranks, "invalid rank ", rank, " of ", ranks);
  state.seed = seed;
  state.pass = pass;
  state.rank = rank;
  state.ranks = ranks;
  state.taken = state.given = epoch * state.batches + first;
  if (pass == Pass::evaluation) state.end = (epoch + 1) * state.batches;
  for (int i = 0; i < config.workers; ++i)
    state.threads.emplace_back([&state](std::stop_token const& stop) { state.work(stop); });
}

Loader::~Loader() = default;

bool Loader::next(Batch& batch) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.given >= state.end) return false;
  state.made.wait(lock, [&] { return state.ready.count(state.given) != 0; });
  State::Made& made = state.ready.at(state.given);
  if (made.failure) std::rethrow_exception(made.failure);
  batch = std::move(made.batch);
  state.ready.erase(state.given++);
  state.room.notify_all();
  return true;
}

int64_t Loader::batches_per_epoch() const { return state_->batches; }

}  // namespace train
