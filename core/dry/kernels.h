#pragma once
#include "core/dry/device.h"
#include "core/kernels.h"

namespace core::dry {

/// Kernels that only record their work with the device.
class DryKernels final : public Kernels {
 public:
  explicit DryKernels(DryRunDevice& device) : device_(device) {}
  void fill(double, Tensor& t) override { moves(t); }
  void convert(Tensor const& from, Tensor& to) override { moves(from, to); }
  void scale(double, Tensor& t) override { moves(t, t); }
  void accumulate(double, Tensor const& x, Tensor& y) override { moves(x, y, y); }
  void add(Tensor const& x, Tensor const& y, Tensor& z) override { moves(x, y, z); }
  void relu(Tensor const& x, Tensor& y) override { moves(x, y); }
  void relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) override { moves(y, dy, dx); }
  void dropout(Tensor const& x, RandomKey, int64_t, double, Tensor& y) override { moves(x, y); }
  void random_normal(RandomKey, int64_t, double, double, Tensor& t) override { moves(t); }
  void random_uniform(RandomKey, int64_t, double, double, Tensor& t) override { moves(t); }
  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y) override;
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Store store, Tensor& dx) override;
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw) override;
  void max_pool(Tensor const& x, Window const&, Tensor& y, Tensor& where) override {
    moves(x, y, where);
  }
  void max_pool_backward(Tensor const& dy, Tensor const& where, Window const&,
                         Tensor& dx) override {
    moves(dy, where, dx);
  }
  void average_pool(Tensor const& x, Window const&, Tensor& y) override { moves(x, y); }
  void average_pool_backward(Tensor const& dy, Window const&, Tensor& dx) override {
    moves(dy, dx);
  }
  void batch_statistics(Tensor const& x, Tensor& moments) override { moves(x, moments); }
  void merge_statistics(Tensor const& parts, double, Tensor& merged, Tensor& running_mean,
                        Tensor& running_variance) override {
    moves(parts, merged, running_mean, running_variance);
  }
  void batch_norm(Normalization const& norm, Tensor const& x, Tensor const& residual, Tensor& y,
                  Tensor& signs) override {
    moves(norm.mean, norm.variance, norm.gain, norm.bias, x, residual, y, signs);
  }
  void batch_norm_backward_sums(Normalization const& norm, Tensor const& x, Tensor const& signs,
                                Tensor const& dy, Tensor& sums) override {
    moves(norm.mean, norm.variance, x, signs, dy, sums);
  }
  void batch_norm_backward(Normalization const& norm, Tensor const& x, Tensor const& signs,
                           Tensor const& dy, Tensor const&, Tensor const& sums, Store store,
                           Tensor& dx, Tensor& dresidual) override {
    moves(norm.mean, norm.variance, norm.gain, x, signs, dy, sums, before(store, dx), dx,
          dresidual);
  }
  void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c) override;
  void add_bias(Tensor const& bias, Tensor& y) override { moves(bias, y, y); }
  void copy_columns(Tensor const& x, int64_t, int64_t, Tensor& y, int64_t) override { moves(x, y); }
  void gather_rows(Tensor const&, Tensor const& indices, int64_t, Tensor& y) override {
    moves(indices, y, y);
  }
  void row_products(Tensor const& x, Tensor const& y, Tensor& out) override { moves(x, y, out); }
  void scatter_rows(Tensor const& x, Tensor const& indices, Tensor&) override {
    moves(x, indices, x);
  }
  void scale_rows(double, Tensor const& factors, Tensor& x) override { moves(factors, x, x); }
  void accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) override {
    moves(factors, x, y, y);
  }
  void sum_rows(Tensor const& x, Tensor& out) override { moves(x, out); }
  void l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) override { moves(x, y, norm); }
  void l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                             Tensor& dx) override {
    moves(y, norm, dy, dx);
  }
  void softmax_begin(Tensor& stats) override { moves(stats); }
  void softmax_statistics(LogitRule const&, ClassChunk const&, Tensor const& labels,
                          Tensor const& z, Tensor& stats, Tensor& tiles) override {
    moves(labels, z, stats, tiles);
  }
  void softmax_reference(LogitRule const&, ClassChunk const&, Tensor const& labels, Tensor const&,
                         Tensor& reference) override {
    moves(labels, reference);
  }
  void softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                            Tensor const& z, Tensor const& reference, Tensor& stats, Tensor& tiles,
                            Columns& e) override;
  void softmax_merge_tiles(Tensor const& tiles, Tensor& stats) override { moves(tiles, stats); }
  void softmax_align(Tensor const& rows, int64_t, Tensor& tiles, Tensor& reference, Columns&,
                     Tensor&) override {
    moves(rows, tiles, reference);  // exponentials and sums are converted only in rare cases
  }
  void softmax_factors(Tensor const& rows, Tensor const& reference, Tensor& factors) override {
    moves(rows, reference, factors);
  }
  void softmax_targets(int64_t, Tensor const& labels, Tensor const& rows, Tensor const& factors,
                       Columns&) override {
    moves(labels, rows, factors);
  }
  void softmax_merge(math::LossRule const&, Tensor const& parts, Tensor const& labels, Tensor& rows,
                     Tensor& sums) override {
    moves(parts, labels, rows, sums);
  }
  void softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) override {
    moves(sums, rows, loss, factor);
  }
  void softmax_gradient(LogitRule const&, ClassChunk const&, Tensor const& labels, Tensor const& z,
                        Tensor const& rows, Tensor& g) override {
    moves(labels, z, rows, g);
  }
  void softmax_gradient_stored(LogitRule const&, ClassChunk const&, Tensor const& labels,
                               Tensor const& reference, Tensor const& rows, Columns& e) override {
    moves(labels, reference, rows, e, e);
  }
  void adaptive_margins(double, double, double, Tensor const& norms, Tensor& moments,
                        Tensor& margins) override {
    moves(norms, moments, margins);
  }
  void curricularface_update(double, double, Tensor const& labels, Tensor const& products,
                             Tensor& hardness, Tensor& thresholds) override {
    moves(labels, products, hardness, thresholds);
  }
  void top_k(Tensor const& z, int64_t, Tensor& scores, Tensor& classes) override {
    moves(z, scores, classes);
  }
  void update(UpdateRule const& rule, int64_t first_row, Tensor const& trust, Tensor const& g,
              UpdateState& state) override;
  void update_all(UpdateRule const& rule, std::vector<ParameterUpdate>& all) override {
    for (auto& [g, state] : all) update(rule, 0, {}, g, state);
  }
  void lars_trust_ratio(double, double, Tensor const& factor, Tensor const& g, Tensor const& w,
                        Tensor& trust) override {
    moves(factor, g, w, trust);
  }
  void add_squared_norm(Tensor const& x, Tensor& sum) override { moves(x, sum); }
  void clip_factor(double, Tensor const& squares, Tensor& factor) override {
    moves(squares, factor);
  }

 private:
  /// The part of an output that the kernel reads.
  static Tensor before(Store store, Tensor const& output) {
    return store == Store::add ? output : Tensor{};
  }
  template <class... Tensors>
  void moves(Tensors const&... tensors) {
    device_.add_work({}, {Touched(tensors)...});
  }

  DryRunDevice& device_;
};

}  // namespace core::dry
