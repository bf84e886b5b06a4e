#include "train/data/sources.h"
#include "train/formats/safetensors.h"

namespace train {
namespace {

/// Tensors `images` (N, H, W, Ch) u8 or f32 and `labels` (N) i64 of a safetensors file. Images are
/// read from the file on demand, so it may be larger than memory; all ranks share the page cache.
class SafetensorsSet final : public Dataset {
 public:
  explicit SafetensorsSet(std::string const& path) : file_(path) {
    TensorEntry const& images = file_.entry("images");
    if (images.shape.size() != 4) refuse("images: expected the shape (N, H, W, Ch), got ", images);
    if (images.dtype != core::Dtype::u8 && images.dtype != core::Dtype::f32)
      refuse("images: expected u8 or f32, got ", images);
    TensorEntry const& labels = file_.entry("labels");
    if (labels.dtype != core::Dtype::i64 || labels.shape != core::Shape{images.shape[0]})
      refuse("labels: expected an i64 per image, got ", labels);
    shape_ = {images.shape[1], images.shape[2], images.shape[3]};
    if (shape_.count() == 0) refuse("images: the images have no pixels: ", images);
    bytes_ = images.dtype == core::Dtype::u8;
    labels_.resize(static_cast<size_t>(images.shape[0]));
    file_.read("labels", labels_.data(), labels.bytes());
  }

  std::vector<int64_t>& labels() { return labels_; }

  core::ImageShape shape() const override { return shape_; }
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t index) const override { return labels_[static_cast<size_t>(index)]; }
  void read(int64_t index, float* pixels) const override {
    auto const count = static_cast<size_t>(shape_.count()), row = static_cast<size_t>(index);
    if (!bytes_) {
      file_.read("images", pixels, count * sizeof(float), row * count * sizeof(float));
      return;
    }
    std::vector<uint8_t> bytes(count);
    file_.read("images", bytes.data(), count, row * count);
    to_float(bytes.data(), shape_.count(), pixels);
  }

 private:
  void refuse(char const* what, TensorEntry const& entry) const {
    throw BadData(core::join(file_.path(), ": ", what, entry.dtype, ' ', entry.shape));
  }

  SafetensorsReader file_;
  core::ImageShape shape_;
  bool bytes_ = false;
  std::vector<int64_t> labels_;
};

Split open_test(DataConfig const& config, int64_t classes) {
  auto const test = std::make_shared<SafetensorsSet>(config.eval_path);
  adopt_labels(test->labels(), classes, config.ignore_index, config.eval_path);
  return {"test", test};
}

}  // namespace

Task open_safetensors(DataConfig const& config) {
  auto const train = std::make_shared<SafetensorsSet>(config.path);
  int64_t const classes =
      adopt_labels(train->labels(), config.classes, config.ignore_index, config.path);
  Task task{classes, {"train", train}, {}, {}};
  if (!config.eval_path.empty()) {
    auto test = open_test(config, classes);
    if (!(test.data->shape() == train->shape()))
      throw BadData(core::join(config.eval_path,
                               ": its images have a different shape from those of ", config.path));
    task.evaluation.push_back(std::move(test));
  }
  return task;
}

Task open_safetensors_evaluation(DataConfig const& config, int64_t classes) {
  Task task{classes, {"train", nullptr}, {}, {}};
  if (!config.eval_path.empty()) task.evaluation.push_back(open_test(config, classes));
  return task;
}

}  // namespace train
