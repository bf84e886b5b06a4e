#include "train/evaluation/evaluate.h"
#include "core/cpu/device.h"
#include "train/data/upload.h"
#include "train/errors.h"
#include "train/evaluation/accuracy_counter.h"

namespace train {
namespace {

constexpr int places = 5;

/// Returns the features of a batch, (b, D), from the trunk.
core::Tensor features(Model& model, Batch const& batch, core::Device& device) {
  core::Tape tape(core::Mode::inference);
  auto const images = images_on(device, batch.images, model.dtype);
  return model.trunk->forward(tape, core::Tape::constant(images)).value;
}

/// Returns the best classes of one row; fewer than five if the task has fewer.
std::vector<int64_t> best_classes(layers::TopK const& top, int64_t row) {
  std::vector<int64_t> best;
  for (int place = 0; place < top.k && top.at(row, place) >= 0; ++place)
    best.push_back(top.at(row, place));
  return best;
}

}  // namespace

void for_each_batch(Model& model, Split const& split, Experiment const& experiment,
                    core::Device& device, comm::Communicator& ranks, int places,
                    std::function<void(BatchPrediction const&)> const& on_batch) {
  core::cpu::Cpu host(1);
  // The batches of training: if they fit into memory there, they fit here.
  Loader loader(host, split, experiment.data, experiment.seed, Pass::evaluation, ranks.rank(),
                ranks.size());
  int64_t read = 0;  // samples of earlier batches
  for (Batch batch; loader.next(batch); read += comm::begin_of(batch.counts, ranks.size())) {
    auto const x = features(model, batch, device);
    on_batch({batch, read, x, model.head->top_k(x, batch.counts, places)});
  }
}

Score evaluate(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
               comm::Communicator& ranks, std::function<void(Prediction const&)> const& on_batch) {
  AccuracyCounter counter;
  for_each_batch(model, split, experiment, device, ranks, places, [&](BatchPrediction const& all) {
    int64_t const begin = comm::begin_of(all.batch.counts, ranks.rank());
    auto const* const labels = all.batch.labels.data<int64_t>();
    for (int64_t row = 0; row < all.batch.labels.size(0); ++row) {
      if (labels[row] == Dataset::ignored) continue;
      Prediction const mine{all.first + begin + row, labels[row],
                            best_classes(all.top, begin + row)};
      counter.add(mine.best, mine.label);
      if (on_batch) on_batch(mine);
    }
  });
  return counter.score(split.name, device, ranks);
}

}  // namespace train
