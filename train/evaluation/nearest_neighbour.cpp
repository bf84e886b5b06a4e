#include <algorithm>
#include <limits>
#include "core/device.h"
#include "core/kernels.h"
#include "train/evaluation/accuracy_counter.h"

/// Nearest neighbor by matrix products: |q - g|² = |q|² - 2 (q·g - |g|² / 2), so the training image
/// g nearest to a sample q is the one with the largest q·g - |g|² / 2.
namespace train {
namespace {

constexpr int64_t images_at_a_time = 4096, queries_at_a_time = 256;

/// A block of images of a data set.
struct Block {
  core::Tensor pixels;           ///< (n, H · W · Ch), f32
  std::vector<float> half_norm;  ///< (n), half of the squared norm of each image
  std::vector<int64_t> labels;   ///< (n)
};

Block read_block(Dataset const& set, int64_t begin, int64_t end, core::Device& device) {
  int64_t const pixels = set.shape().count();
  Block block{{device, {end - begin, pixels}, core::Dtype::f32}, {}, {}};
  std::vector<float> host(static_cast<size_t>(block.pixels.count()));
  for (int64_t i = begin; i < end; ++i) {
    float* const image = host.data() + (i - begin) * pixels;
    set.read(i, image);
    double norm = 0;
    for (int64_t k = 0; k < pixels; ++k) norm += double{image[k]} * double{image[k]};
    block.half_norm.push_back(static_cast<float>(norm / 2));
    block.labels.push_back(set.label(i));
  }
  device.upload(host.data(), block.pixels);
  return block;
}

/// The best classes found so far for one query, each once: highest score first, then the lower
/// class.
class Best {
 public:
  /// Lowest score that can change the list.
  float bar() const { return kept_.size() < places ? lowest : kept_.back().score; }

  void offer(float score, int64_t label) {
    if (score < bar() || label == Dataset::ignored) return;
    auto const known = std::ranges::find(kept_, label, &Candidate::label);
    if (known != kept_.end()) {
      if (known->score >= score) return;
      kept_.erase(known);
    }
    Candidate const candidate{score, label};
    auto const worse = [](Candidate const& a, Candidate const& b) {
      return a.score != b.score ? a.score > b.score : a.label < b.label;
    };
    kept_.insert(std::ranges::upper_bound(kept_, candidate, worse), candidate);
    if (kept_.size() > places) kept_.pop_back();
  }

  std::vector<int64_t> classes() const {
    std::vector<int64_t> classes;
    classes.reserve(kept_.size());
    for (Candidate const& candidate : kept_) classes.push_back(candidate.label);
    return classes;
  }

 private:
  static constexpr size_t places = 5;
  static constexpr float lowest = -std::numeric_limits<float>::infinity();
  struct Candidate {
    float score;
    int64_t label;
  };
  std::vector<Candidate> kept_;
};

/// Updates the best classes of one query with a block of images. Few scores reach the threshold, so
/// images are processed in strips, and each strip is first tested with vector instructions.
void search(float const* products, Block const& images, Best& best) {
  constexpr int64_t strip = 64;
  auto const count = std::ssize(images.labels);
  float const* const half_norm = images.half_norm.data();
  for (int64_t begin = 0; begin < count; begin += strip) {
    int64_t const end = std::min(begin + strip, count);
    float const bar = best.bar();
    int reach = 0;
    for (int64_t i = begin; i < end; ++i) reach += products[i] - half_norm[i] >= bar;
    if (reach == 0) continue;
    for (int64_t i = begin; i < end; ++i)
      best.offer(products[i] - half_norm[i], images.labels[static_cast<size_t>(i)]);
  }
}

/// Compares every query with every image of a block.
void compare(core::Tensor const& queries, Block const& images, Best* best,
             std::vector<float>& products) {
  core::Device& device = queries.device();
  int64_t const rows = queries.size(0), columns = images.pixels.size(0);
  core::Tensor z(device, {rows, columns}, core::Dtype::f32);
  device.kernels().matmul(queries, core::Transpose::no, images.pixels, core::Transpose::yes, 1, 0,
                          z);
  products.resize(static_cast<size_t>(z.count()));
  device.download(z, products.data());
  for (int64_t row = 0; row < rows; ++row)
    search(products.data() + row * columns, images, best[row]);
}

}  // namespace

Score nearest_neighbour(Split const& train, Split const& split, core::Device& device,
                        comm::Communicator& ranks) {
  core::check(train.data->shape() == split.data->shape(), "nearest neighbor: images of '",
              train.name, "' and '", split.name, "' differ in shape");
  auto const counts = comm::split_evenly(split.data->size(), ranks.size());
  int64_t const begin = comm::begin_of(counts, ranks.rank());
  int64_t const count = counts[static_cast<size_t>(ranks.rank())];

  // This rank's samples stay in memory; training images are read in blocks.
  Block const queries = read_block(*split.data, begin, begin + count, device);
  std::vector<Best> best(static_cast<size_t>(count));
  std::vector<float> products;
  for (int64_t image = 0; image < train.data->size(); image += images_at_a_time) {
    Block const images = read_block(*train.data, image,
                                    std::min(image + images_at_a_time, train.data->size()), device);
    for (int64_t row = 0; row < count; row += queries_at_a_time)
      compare(queries.pixels.rows(row, std::min(row + queries_at_a_time, count)), images,
              best.data() + row, products);
  }
  AccuracyCounter counter;
  for (size_t i = 0; i < best.size(); ++i)
    if (queries.labels[i] != Dataset::ignored) counter.add(best[i].classes(), queries.labels[i]);
  return counter.score(split.name, device, ranks);
}

}  // namespace train
