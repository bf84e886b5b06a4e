#include <filesystem>
#include <zlib.h>
#include "train/data/sources.h"

/// IDX files, plain or gzipped: big-endian u32 magic number (0x0800 for unsigned bytes, plus the
/// number of axes), one u32 size per axis, then the bytes.
/// Format: http://yann.lecun.com/exdb/mnist
namespace train {
namespace {

using Bytes = std::vector<uint8_t>;

template <class... Parts>
[[noreturn]] void bad(std::string const& path, Parts const&... parts) {
  throw BadData(core::join(path, ": ", parts...));
}

/// A file read through zlib, which also reads uncompressed files.
class Unzipped {
 public:
  explicit Unzipped(std::string path) : path_(std::move(path)), file_(gzopen(path_.c_str(), "rb")) {
    if (file_ == nullptr) throw IoError("cannot open " + path_);
  }
  ~Unzipped() { gzclose(file_); }
  Unzipped(Unzipped const&) = delete;
  Unzipped& operator=(Unzipped const&) = delete;

  void read(uint8_t* to, size_t bytes) {
    constexpr size_t most = 1 << 30;  // gzread returns an int
    for (size_t at = 0; at < bytes;) {
      int const got = gzread(file_, to + at, static_cast<unsigned>(std::min(most, bytes - at)));
      if (got <= 0) bad(path_, "truncated or damaged file");
      at += static_cast<size_t>(got);
    }
  }
  uint32_t read_u32() {
    uint8_t b[4];
    read(b, sizeof b);
    return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
  }
  /// Checks that the file has no more data; zlib also verifies the checksum.
  void expect_end() {
    uint8_t extra;
    int const got = gzread(file_, &extra, 1);
    int error = Z_OK;  // only gzerror reports a truncated last block or checksum
    gzerror(file_, &error);
    if (got > 0) bad(path_, "more data than its header declares");
    if (got < 0 || error != Z_OK) bad(path_, "truncated or damaged file");
  }

 private:
  std::string path_;
  gzFile file_;
};

struct Idx {
  std::vector<int64_t> sizes;
  Bytes bytes;
};

/// Largest plausible compression ratio of images. A header that declares more data is rejected
/// before memory is allocated.
constexpr uint64_t most_compressed = 200;

Idx read_idx(std::string const& path, uint32_t axes) {
  Unzipped file(path);
  uint32_t const magic = file.read_u32();
  if (magic != (0x0800u | axes)) bad(path, "magic number ", magic, ", expected ", 0x0800u | axes);
  Idx idx;
  uint64_t count = 1;
  for (uint32_t axis = 0; axis < axes; ++axis) {
    idx.sizes.push_back(file.read_u32());
    if (__builtin_mul_overflow(count, static_cast<uint64_t>(idx.sizes.back()), &count))
      bad(path, "the product of its sizes overflows");
  }
  if (count / most_compressed > std::filesystem::file_size(path))
    bad(path, "too short for the ", count, " bytes that its header declares");
  idx.bytes.resize(count);
  file.read(idx.bytes.data(), count);
  file.expect_end();
  return idx;
}

std::string find(std::string const& folder, std::string const& name) {
  std::string const path = folder + "/" + name;
  for (std::string const& candidate : {path, path + ".gz"})
    if (std::filesystem::exists(candidate)) return candidate;
  throw MissingInput(core::join("no ", name, "[.gz] in ", folder,
                                " (Fashion-MNIST: Debian package dataset-fashion-mnist)"));
}

/// Gray-scale images and their labels, in memory.
class IdxSet final : public Dataset {
 public:
  IdxSet(std::string const& folder, std::string const& stem)
      : labels_path(find(folder, stem + "-labels-idx1-ubyte")) {
    std::string const images_path = find(folder, stem + "-images-idx3-ubyte");
    Idx images = read_idx(images_path, 3);
    Bytes const labels = read_idx(labels_path, 1).bytes;
    if (static_cast<int64_t>(labels.size()) != images.sizes[0])
      bad(labels_path, labels.size(), " labels for ", images.sizes[0], " images");
    shape_ = {images.sizes[1], images.sizes[2], 1};
    if (shape_.count() == 0) bad(images_path, "the images have no pixels");
    pixels_ = std::move(images.bytes);
    labels_.assign(labels.begin(), labels.end());
  }

  std::vector<int64_t>& labels() { return labels_; }

  core::ImageShape shape() const override { return shape_; }
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t index) const override { return labels_[static_cast<size_t>(index)]; }
  void read(int64_t index, float* pixels) const override {
    to_float(pixels_.data() + index * shape_.count(), shape_.count(), pixels);
  }

  std::string const labels_path;

 private:
  core::ImageShape shape_;
  Bytes pixels_;
  std::vector<int64_t> labels_;
};

Split open_test(DataConfig const& config, int64_t classes) {
  auto const test = std::make_shared<IdxSet>(config.path, "t10k");
  adopt_labels(test->labels(), classes, config.ignore_index, test->labels_path);
  return {"test", test};
}

}  // namespace

Task open_idx(DataConfig const& config) {
  auto const train = std::make_shared<IdxSet>(config.path, "train");
  int64_t const classes =
      adopt_labels(train->labels(), config.classes, config.ignore_index, train->labels_path);
  auto const test = open_test(config, classes);
  if (!(test.data->shape() == train->shape()))
    bad(config.path, "the images of train and t10k have different shapes");
  return {classes, {"train", train}, {test}, {}};
}

Task open_idx_evaluation(DataConfig const& config, int64_t classes) {
  return {classes, {"train", nullptr}, {open_test(config, classes)}, {}};
}

}  // namespace train
