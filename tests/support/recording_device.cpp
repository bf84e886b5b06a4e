#include "tests/support/recording_device.h"

namespace tests {

using core::ClassChunk;
using core::Columns;
using core::Kernels;
using core::LogitRule;
using core::Normalization;
using core::RandomKey;
using core::Store;
using core::Tensor;
using core::Transpose;
using core::UpdateRule;
using core::UpdateState;
using core::Window;
namespace math = core::math;

class RecordingDevice::RecordingKernels final : public Kernels {
 public:
  explicit RecordingKernels(RecordingDevice& device) : device_(device) {}

  void fill(double value, Tensor& t) override { queue(&Kernels::fill, value, t); }
  void convert(Tensor const& from, Tensor& to) override { queue(&Kernels::convert, from, to); }
  void scale(double factor, Tensor& t) override { queue(&Kernels::scale, factor, t); }
  void accumulate(double alpha, Tensor const& x, Tensor& y) override {
    queue(&Kernels::accumulate, alpha, x, y);
  }
  void add(Tensor const& x, Tensor const& y, Tensor& z) override { queue(&Kernels::add, x, y, z); }
  void relu(Tensor const& x, Tensor& y) override { queue(&Kernels::relu, x, y); }
  void relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) override {
    queue(&Kernels::relu_backward, y, dy, dx);
  }
  void dropout(Tensor const& x, RandomKey key, int64_t first, double probability,
               Tensor& y) override {
    queue(&Kernels::dropout, x, key, first, probability, y);
  }
  void random_normal(RandomKey key, int64_t first, double mean, double stddev, Tensor& t) override {
    queue(&Kernels::random_normal, key, first, mean, stddev, t);
  }
  void random_uniform(RandomKey key, int64_t first, double low, double high, Tensor& t) override {
    queue(&Kernels::random_uniform, key, first, low, high, t);
  }
  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y) override {
    queue(&Kernels::conv2d, x, w, bias, window, groups, y);
  }
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Store store, Tensor& dx) override {
    queue(&Kernels::conv2d_backward_input, dy, w, window, groups, store, dx);
  }
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw) override {
    queue(&Kernels::conv2d_backward_weights, x, dy, window, groups, dw);
  }
  void max_pool(Tensor const& x, Window const& window, Tensor& y, Tensor& where) override {
    queue(&Kernels::max_pool, x, window, y, where);
  }
  void max_pool_backward(Tensor const& dy, Tensor const& where, Window const& window,
                         Tensor& dx) override {
    queue(&Kernels::max_pool_backward, dy, where, window, dx);
  }
  void average_pool(Tensor const& x, Window const& window, Tensor& y) override {
    queue(&Kernels::average_pool, x, window, y);
  }
  void average_pool_backward(Tensor const& dy, Window const& window, Tensor& dx) override {
    queue(&Kernels::average_pool_backward, dy, window, dx);
  }
  void batch_statistics(Tensor const& x, Tensor& moments) override {
    queue(&Kernels::batch_statistics, x, moments);
  }
  void merge_statistics(Tensor const& parts, double momentum, Tensor& merged, Tensor& running_mean,
                        Tensor& running_variance) override {
    queue(&Kernels::merge_statistics, parts, momentum, merged, running_mean, running_variance);
  }
  void batch_norm(Normalization const& norm, Tensor const& x, Tensor const& residual, Tensor& y,
                  Tensor& signs) override {
    queue(&Kernels::batch_norm, norm, x, residual, y, signs);
  }
  void batch_norm_backward_sums(Normalization const& norm, Tensor const& x, Tensor const& signs,
                                Tensor const& dy, Tensor& sums) override {
    queue(&Kernels::batch_norm_backward_sums, norm, x, signs, dy, sums);
  }
  void batch_norm_backward(Normalization const& norm, Tensor const& x, Tensor const& signs,
                           Tensor const& dy, Tensor const& count, Tensor const& sums, Store store,
                           Tensor& dx, Tensor& dresidual) override {
    queue(&Kernels::batch_norm_backward, norm, x, signs, dy, count, sums, store, dx, dresidual);
  }
  void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c) override {
    queue(&Kernels::matmul, a, ta, b, tb, alpha, beta, c);
  }
  void add_bias(Tensor const& bias, Tensor& y) override { queue(&Kernels::add_bias, bias, y); }
  void copy_columns(Tensor const& x, int64_t from, int64_t columns, Tensor& y,
                    int64_t to) override {
    queue(&Kernels::copy_columns, x, from, columns, y, to);
  }
  void gather_rows(Tensor const& x, Tensor const& indices, int64_t first, Tensor& y) override {
    queue(&Kernels::gather_rows, x, indices, first, y);
  }
  void row_products(Tensor const& x, Tensor const& y, Tensor& out) override {
    queue(&Kernels::row_products, x, y, out);
  }
  void scatter_rows(Tensor const& x, Tensor const& indices, Tensor& y) override {
    queue(&Kernels::scatter_rows, x, indices, y);
  }
  void scale_rows(double alpha, Tensor const& factors, Tensor& x) override {
    queue(&Kernels::scale_rows, alpha, factors, x);
  }
  void accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) override {
    queue(&Kernels::accumulate_rows, factors, x, y);
  }
  void sum_rows(Tensor const& x, Tensor& out) override { queue(&Kernels::sum_rows, x, out); }
  void l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) override {
    queue(&Kernels::l2_normalise, x, y, norm);
  }
  void l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                             Tensor& dx) override {
    queue(&Kernels::l2_normalise_backward, y, norm, dy, dx);
  }
  void softmax_begin(Tensor& stats) override { queue(&Kernels::softmax_begin, stats); }
  void softmax_statistics(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                          Tensor const& z, Tensor& stats, Tensor& tiles) override {
    queue(&Kernels::softmax_statistics, rule, chunk, labels, z, stats, tiles);
  }
  void softmax_reference(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                         Tensor const& z, Tensor& reference) override {
    queue(&Kernels::softmax_reference, rule, chunk, labels, z, reference);
  }
  void softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                            Tensor const& z, Tensor const& reference, Tensor& stats, Tensor& tiles,
                            Columns& e) override {
    queue(&Kernels::softmax_exponentials, rule, chunk, labels, z, reference, stats, tiles, e);
  }
  void softmax_merge_tiles(Tensor const& tiles, Tensor& stats) override {
    queue(&Kernels::softmax_merge_tiles, tiles, stats);
  }
  void softmax_align(Tensor const& rows, int64_t chunk, Tensor& tiles, Tensor& reference,
                     Columns& e, Tensor& sums) override {
    queue(&Kernels::softmax_align, rows, chunk, tiles, reference, e, sums);
  }
  void softmax_factors(Tensor const& rows, Tensor const& reference, Tensor& factors) override {
    queue(&Kernels::softmax_factors, rows, reference, factors);
  }
  void softmax_targets(int64_t first, Tensor const& labels, Tensor const& rows,
                       Tensor const& factors, Columns& e) override {
    queue(&Kernels::softmax_targets, first, labels, rows, factors, e);
  }
  void softmax_merge(math::LossRule const& rule, Tensor const& parts, Tensor const& labels,
                     Tensor& rows, Tensor& sums) override {
    queue(&Kernels::softmax_merge, rule, parts, labels, rows, sums);
  }
  void softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) override {
    queue(&Kernels::softmax_mean, sums, rows, loss, factor);
  }
  void softmax_gradient(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                        Tensor const& z, Tensor const& rows, Tensor& g) override {
    queue(&Kernels::softmax_gradient, rule, chunk, labels, z, rows, g);
  }
  void softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                               Tensor const& reference, Tensor const& rows, Columns& e) override {
    queue(&Kernels::softmax_gradient_stored, rule, chunk, labels, reference, rows, e);
  }
  void adaptive_margins(double m, double h, double share, Tensor const& norms, Tensor& moments,
                        Tensor& margins) override {
    queue(&Kernels::adaptive_margins, m, h, share, norms, moments, margins);
  }
  void curricularface_update(double m, double share, Tensor const& labels, Tensor const& products,
                             Tensor& hardness, Tensor& thresholds) override {
    queue(&Kernels::curricularface_update, m, share, labels, products, hardness, thresholds);
  }
  void top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) override {
    queue(&Kernels::top_k, z, first, scores, classes);
  }
  void update(UpdateRule const& rule, int64_t first_row, Tensor const& trust, Tensor const& g,
              UpdateState& state) override {
    queue(&Kernels::update, rule, first_row, trust, g, state);
  }
  void update_all(UpdateRule const& rule, std::vector<core::ParameterUpdate>& all) override {
    queue(&Kernels::update_all, rule, all);
  }
  void lars_trust_ratio(double eta, double decay, Tensor const& gradient_scale, Tensor const& g,
                        Tensor const& w, Tensor& trust) override {
    queue(&Kernels::lars_trust_ratio, eta, decay, gradient_scale, g, w, trust);
  }
  void add_squared_norm(Tensor const& x, Tensor& sum) override {
    queue(&Kernels::add_squared_norm, x, sum);
  }
  void clip_factor(double most, Tensor const& squares, Tensor& factor) override {
    queue(&Kernels::clip_factor, most, squares, factor);
  }

 private:
  template <class... Parameter, class... Argument>
  void queue(void (Kernels::*kernel)(Parameter...), Argument const&... arguments) {
    device_.queue(
        [this, kernel, ... a = arguments]() mutable { (device_.inner_.kernels().*kernel)(a...); });
  }

  RecordingDevice& device_;
};

class RecordingDevice::WorkList final : public core::Graph {
 public:
  WorkList(RecordingDevice& device, std::vector<Work> list)
      : device_(device), list_(std::move(list)) {}
  void replay() override {
    ++device_.replays;
    for (Work const& work : list_) work();
  }

 private:
  RecordingDevice& device_;
  std::vector<Work> list_;
};

/// Two alternating tensors, as on the CUDA device: the third call overwrites the first tensor.
class RecordingDevice::Uploads final : public core::InputStage {
 public:
  explicit Uploads(RecordingDevice& device) : device_(device) {}
  Tensor next(void const* host, core::Shape const& shape, core::Dtype dtype) override {
    turn_ = 1 - turn_;
    Tensor& slot = slots_[turn_];
    if (!slot || slot.shape() != shape) slot = Tensor(device_, shape, dtype);
    device_.upload(host, slot);
    return slot;
  }

 private:
  RecordingDevice& device_;
  Tensor slots_[2];
  int turn_ = 0;
};

RecordingDevice::RecordingDevice(core::Device& inner)
    : inner_(inner), kernels_(std::make_unique<RecordingKernels>(*this)) {}

RecordingDevice::~RecordingDevice() = default;

std::shared_ptr<std::byte> RecordingDevice::allocate(size_t bytes) {
  ++allocations;
  return inner_.allocate(bytes);
}

Kernels& RecordingDevice::kernels() { return *kernels_; }

void RecordingDevice::queue(Work work) {
  if (recorded_ != nullptr)
    recorded_->push_back(std::move(work));
  else
    work();
}

void RecordingDevice::outside_recordings(char const* what) const {
  core::check(recorded_ == nullptr, "", what, " is not allowed during capture");
}

void RecordingDevice::upload(void const* host, Tensor& tensor) {
  outside_recordings("an upload");
  inner_.upload(host, tensor);
}

void RecordingDevice::download(Tensor const& tensor, void* host) {
  outside_recordings("a download");
  ++waits;
  inner_.download(tensor, host);
}

void RecordingDevice::copy(Tensor const& from, Tensor& to) {
  queue([this, from, to]() mutable { inner_.copy(from, to); });
}

void RecordingDevice::synchronize() {
  outside_recordings("a synchronization");
  ++waits;
  inner_.synchronize();
}

std::unique_ptr<core::InputStage> RecordingDevice::input_stage() {
  return std::make_unique<Uploads>(*this);
}

std::unique_ptr<core::Graph> RecordingDevice::capture(std::function<void()> const& work) {
  ++recordings;
  std::vector<Work> list;
  recorded_ = &list;
  try {
    work();
  } catch (...) {
    recorded_ = nullptr;
    throw;
  }
  recorded_ = nullptr;
  return std::make_unique<WorkList>(*this, std::move(list));
}

}  // namespace tests
