#pragma once
#include <memory>
#include "core/kernels.h"

namespace core::cpu {

class OneDnn;

/// CPU kernels, one file per topic: elementwise.cpp, random.cpp, images.cpp, batch_statistics.cpp,
/// batch_norm.cpp, matrix.cpp, copy_columns.cpp, gather_scatter.cpp, l2_normalise.cpp, softmax.cpp,
/// softmax_rows.cpp, margins.cpp, top_k.cpp, optimizer.cpp, squared_norm.cpp. Convolutions and
/// matrix products of f32 and bf16 are computed by oneDNN, those of f64 by the loops in
/// reference.h.
class CpuKernels final : public Kernels {
 public:
  CpuKernels();
  ~CpuKernels() override;

  void fill(double value, Tensor& t) override;
  void convert(Tensor const& from, Tensor& to) override;
  void scale(double factor, Tensor& t) override;
  void accumulate(double alpha, Tensor const& x, Tensor& y) override;
  void add(Tensor const& x, Tensor const& y, Tensor& z) override;
  void relu(Tensor const& x, Tensor& y) override;
  void relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) override;
  void dropout(Tensor const& x, RandomKey key, int64_t first, double probability,
               Tensor& y) override;
  void random_normal(RandomKey key, int64_t first, double mean, double stddev, Tensor& t) override;
  void random_uniform(RandomKey key, int64_t first, double low, double high, Tensor& t) override;
  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y) override;
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Store store, Tensor& dx) override;
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw) override;
  void max_pool(Tensor const& x, Window const& window, Tensor& y, Tensor& where) override;
  void max_pool_backward(Tensor const& dy, Tensor const& where, Window const& window,
                         Tensor& dx) override;
  void average_pool(Tensor const& x, Window const& window, Tensor& y) override;
  void average_pool_backward(Tensor const& dy, Window const& window, Tensor& dx) override;
  void batch_statistics(Tensor const& x, Tensor& moments) override;
  void merge_statistics(Tensor const& parts, double momentum, Tensor& merged, Tensor& running_mean,
                        Tensor& running_variance) override;
  void batch_norm(Normalization const& norm, Tensor const& x, Tensor const& residual, Tensor& y,
                  Tensor& signs) override;
  void batch_norm_backward_sums(Normalization const& norm, Tensor const& x, Tensor const& signs,
                                Tensor const& dy, Tensor& sums) override;
  void batch_norm_backward(Normalization const& norm, Tensor const& x, Tensor const& signs,
                           Tensor const& dy, Tensor const& count, Tensor const& sums, Store store,
                           Tensor& dx, Tensor& dresidual) override;
  void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c) override;
  void add_bias(Tensor const& bias, Tensor& y) override;
  void copy_columns(Tensor const& x, int64_t from, int64_t columns, Tensor& y, int64_t to) override;
  void gather_rows(Tensor const& x, Tensor const& indices, int64_t first, Tensor& y) override;
  void scatter_rows(Tensor const& x, Tensor const& indices, Tensor& y) override;
  void scale_rows(double alpha, Tensor const& factors, Tensor& x) override;
  void accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) override;
  void sum_rows(Tensor const& x, Tensor& out) override;
  void row_products(Tensor const& x, Tensor const& y, Tensor& out) override;
  void l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) override;
  void l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                             Tensor& dx) override;
  void softmax_begin(Tensor& stats) override;
  void softmax_statistics(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                          Tensor const& z, Tensor& stats, Tensor& tiles) override;
  void softmax_reference(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                         Tensor const& z, Tensor& reference) override;
  void softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                            Tensor const& z, Tensor const& reference, Tensor& stats, Tensor& tiles,
                            Columns& e) override;
  void softmax_merge_tiles(Tensor const& tiles, Tensor& stats) override;
  void softmax_align(Tensor const& rows, int64_t chunk, Tensor& tiles, Tensor& reference,
                     Columns& e, Tensor& sums) override;
  void softmax_factors(Tensor const& rows, Tensor const& reference, Tensor& factors) override;
  void softmax_targets(int64_t first, Tensor const& labels, Tensor const& rows,
                       Tensor const& factors, Columns& e) override;
  void softmax_merge(math::LossRule const& rule, Tensor const& parts, Tensor const& labels,
                     Tensor& rows, Tensor& sums) override;
  void softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) override;
  void softmax_gradient(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                        Tensor const& z, Tensor const& rows, Tensor& g) override;
  void softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                               Tensor const& reference, Tensor const& rows, Columns& e) override;
  void adaptive_margins(double m, double h, double share, Tensor const& norms, Tensor& moments,
                        Tensor& margins) override;
  void curricularface_update(double m, double share, Tensor const& labels, Tensor const& products,
                             Tensor& hardness, Tensor& thresholds) override;
  void top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) override;
  void update(UpdateRule const& rule, int64_t first_row, Tensor const& trust, Tensor const& g,
              UpdateState& state) override;
  void update_all(UpdateRule const& rule, std::vector<ParameterUpdate>& all) override;
  void lars_trust_ratio(double eta, double decay, Tensor const& factor, Tensor const& g,
                        Tensor const& w, Tensor& trust) override;
  void add_squared_norm(Tensor const& x, Tensor& sum) override;
  void clip_factor(double most, Tensor const& squares, Tensor& factor) override;

 private:
  std::unique_ptr<OneDnn> onednn_;
};

}  // namespace core::cpu
