#include "train/evaluation/predict.h"
#include <algorithm>
#include <filesystem>
#include <optional>
#include "train/errors.h"
#include "train/formats/safetensors.h"
#include "train/model/make_head.h"

namespace train {
namespace {

using core::Dtype;
using core::Tensor;

/// A safetensors file whose tensors are appended batch by batch, on rank 0. Does nothing on other
/// ranks, or without a path.
class Output {
 public:
  Output(std::string path, bool writes, std::vector<TensorDeclaration> const& tensors,
         Metadata const& metadata)
      : path_(std::move(path)) {
    if (writes && !path_.empty()) table_.emplace(partial(), tensors, metadata);
  }

  /// Appends values to the tensor declared at this index.
  template <class T>
  void append(size_t tensor, std::vector<T> const& values) {
    if (table_) table_->append(tensor, values.data(), values.size() * sizeof(T));
  }
  void finish() {
    if (!table_) return;
    table_->finish();
    std::filesystem::rename(partial(), path_);
  }

 private:
  std::string partial() const { return path_ + ".partial"; }

  std::string path_;
  std::optional<SafetensorsTable> table_;
};

/// Returns the features of all ranks for a batch, (B, D), in host memory.
std::vector<float> embeddings(BatchPrediction const& answers, bool cosine,
                              comm::Communicator& ranks) {
  auto& device = answers.features.device();
  Tensor mine(device, answers.features.shape(), Dtype::f32);
  device.kernels().convert(answers.features, mine);
  if (cosine) {
    Tensor norms(device, {mine.size(0)}, Dtype::f32), unit = core::empty_like(mine);
    device.kernels().l2_normalise(mine, unit, norms);
    mine = unit;
  }
  auto const all = layers::gather_rows(ranks, mine, answers.batch.counts);
  std::vector<float> values(static_cast<size_t>(all.count()));
  device.download(all, values.data());
  return values;
}

/// Returns the labels of samples [begin, end), without reading images.
std::vector<int64_t> labels(Dataset const& set, int64_t begin, int64_t end) {
  std::vector<int64_t> values;
  for (int64_t sample = begin; sample < end; ++sample) values.push_back(set.label(sample));
  return values;
}

}  // namespace

void predict(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
             comm::Communicator& ranks, PredictOptions const& options) {
  int64_t const samples = split.data->size();
  int const places = static_cast<int>(std::min<int64_t>(options.places, model.head->classes()));
  bool const first = ranks.rank() == 0, cosine = head_loss(experiment.head).cosine();
  Metadata const about{{"split", split.name}};
  Output classes(options.classes_to, first,
                 {{"classes", Dtype::i64, {samples, places}},
                  {"labels", Dtype::i64, {samples}},
                  {"scores", Dtype::f32, {samples, places}}},
                 about);
  Output features(options.embeddings_to, first,
                  {{"labels", Dtype::i64, {samples}},
                   {"embeddings", Dtype::f32, {samples, model.trunk->features()}}},
                  about);
  for_each_batch(
      model, split, experiment, device, ranks, places, [&](BatchPrediction const& answers) {
        auto const these = labels(*split.data, answers.first, answers.first + answers.top.rows);
        classes.append(0, answers.top.classes);
        classes.append(1, these);
        classes.append(2, std::vector<float>(answers.top.scores.begin(), answers.top.scores.end()));
        if (options.embeddings_to.empty()) return;
        features.append(0, these);
        features.append(1, embeddings(answers, cosine, ranks));
      });
  classes.finish();
  features.finish();
}

}  // namespace train
