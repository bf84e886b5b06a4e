#pragma once
#include "core/random.h"
#include "core/tensor.h"

namespace core {

/// A window that slides over the H and W of an image: height and width of each quantity.
struct Window {
  struct Pair {
    int64_t h, w;
    bool operator==(Pair const&) const = default;
  };
  Pair size{1, 1};
  Pair stride{1, 1};
  Pair padding{0, 0};   ///< on both sides
  Pair dilation{1, 1};  ///< 1 is none

  bool operator==(Window const&) const = default;

  /// Window positions along an axis: floor((in + 2 padding - dilation (size - 1) - 1) / stride)
  /// + 1.
  static int64_t positions(int64_t in, int64_t size, int64_t stride, int64_t padding,
                           int64_t dilation) {
    int64_t const room = in + 2 * padding - dilation * (size - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
  int64_t out_height(int64_t in) const {
    return positions(in, size.h, stride.h, padding.h, dilation.h);
  }
  int64_t out_width(int64_t in) const {
    return positions(in, size.w, stride.w, padding.w, dilation.w);
  }
};

enum class Transpose { no, yes };

/// One step of stochastic gradient descent: PyTorch's SGD with dampening 0.
///   g += decay w;  v = momentum v + g;  w -= rate (nesterov ? g + momentum v : v)
struct SgdStep {
  /// (1), f64, on the weights' device: core::scalar makes one. It changes from step to step, and a
  /// recorded step (Device::record) reads what it holds when it is replayed.
  Tensor rate;
  double momentum = 0;  ///< 0: `velocity` is not touched and may be empty
  double decay = 0;
  bool nesterov = false;
};

/// The arithmetic of a device, and nothing else: every method is one array operation on dense
/// tensors of that device. Shapes and dtypes are the caller's duty (core/ops and layers check
/// them, with messages); a dtype an implementation cannot do is an Error.
///
/// "Float" is f32, f64 or bf16, the same for all tensors of a call unless said. "Wide" is
/// accumulator(Float): f64 for f64, f32 otherwise; sums are kept in it. Any tensor may have a size
/// of 0. The f64 methods of the CPU device are plain loops and specify the others.
/// Outputs are the last, non-const arguments, and are overwritten unless said.
class Kernels {
 public:
  virtual ~Kernels() = default;

  // Elementwise.
  /// t[i] := value. Any dtype.
  virtual void fill(double value, Tensor& t) = 0;
  /// to[i] := from[i], rounded to nearest. Floats and u8, in any combination to a float.
  virtual void convert(Tensor const& from, Tensor& to) = 0;
  /// t[i] *= factor.
  virtual void scale(double factor, Tensor& t) = 0;
  /// y[i] += alpha x[i]; the two may be of different Floats.
  virtual void accumulate(double alpha, Tensor const& x, Tensor& y) = 0;
  /// z[i] := x[i] + y[i].
  virtual void add(Tensor const& x, Tensor const& y, Tensor& z) = 0;
  /// y[i] := max(x[i], 0). NaN stays NaN.
  virtual void relu(Tensor const& x, Tensor& y) = 0;
  /// dx[i] := y[i] > 0 ? dy[i] : 0, from relu's result.
  virtual void relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) = 0;
  /// y[., c] := x[., c] > 0 ? x : slope[c] x. slope: (Ch), Wide; channels are the last axis.
  virtual void prelu(Tensor const& x, Tensor const& slope, Tensor& y) = 0;
  /// dx from x and dy; dslope (Ch), Wide: the sum of dy x over x <= 0.
  virtual void prelu_backward(Tensor const& x, Tensor const& slope, Tensor const& dy, Tensor& dx,
                              Tensor& dslope) = 0;
  /// y[i] := uniform number first + i of the stream < probability ? 0 : x[i] / (1 - probability).
  /// Its own backward: the same call on dy. `first` makes the mask independent of the ranks.
  virtual void dropout(Tensor const& x, RandomKey key, int64_t first, double probability,
                       Tensor& y) = 0;

  // Random numbers: element i is number `first` + i of the stream.
  /// Normal with the mean and deviation given. t: f32 or f64 (the same numbers).
  virtual void random_normal(RandomKey key, int64_t first, double mean, double deviation,
                             Tensor& t) = 0;
  /// Uniform in [low, high). t: f32 or f64.
  virtual void random_uniform(RandomKey key, int64_t first, double low, double high, Tensor& t) = 0;

  // Images: x (N, H, W, Ch), w (Out, h, w, Ch / groups), y (N, H', W', Out).
  /// y := conv(x, w) + bias. `bias`: (Out), Wide, or empty.
  virtual void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                      int64_t groups, Tensor& y) = 0;
  virtual void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                                     int64_t groups, Tensor& dx) = 0;
  /// dw: Wide. Zero where the batch is empty.
  virtual void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                       int64_t groups, Tensor& dw) = 0;
  /// y: the largest element under the window; padding never wins. `where`: i32, of y's shape: the
  /// winner's place h * window.w + w in the window (the first of equals). A NaN wins; a window of
  /// padding alone gives -inf and place -1.
  virtual void max_pool(Tensor const& x, Window const& window, Tensor& y, Tensor& where) = 0;
  virtual void max_pool_backward(Tensor const& dy, Tensor const& where, Window const& window,
                                 Tensor& dx) = 0;
  /// y: the mean over the window, padding counted as zeros (PyTorch's count_include_pad).
  virtual void average_pool(Tensor const& x, Window const& window, Tensor& y) = 0;
  virtual void average_pool_backward(Tensor const& dy, Window const& window, Tensor& dx) = 0;

  // Batch normalisation of x (..., Ch), in parts, so that statistics can be shared between ranks.
  /// moments (3, Ch), Wide: the number of elements of a channel, their mean, and their sum of
  /// squared differences from it. All zero for an empty x.
  virtual void moments(Tensor const& x, Tensor& moments) = 0;
  /// The moments of the union of `parts` (P, 3, Ch), merged in order (Chan, Golub, LeVeque 1983);
  /// merged (3, Ch): count, mean, biased variance. Then the running statistics (Ch) move:
  /// running := (1 - momentum) running + momentum batch, with the unbiased variance
  /// (divisor max(count - 1, 1)), unless the count is 0. All Wide.
  virtual void merge_moments(Tensor const& parts, double momentum, Tensor& merged,
                             Tensor& running_mean, Tensor& running_variance) = 0;
  /// y := (x - mean) / sqrt(variance + epsilon) * gain + bias [+ residual] [then ReLU].
  /// mean, variance, gain, bias: (Ch), Wide. `residual`: x's shape, or empty.
  virtual void normalise(Tensor const& x, Tensor const& mean, Tensor const& variance,
                         double epsilon, Tensor const& gain, Tensor const& bias,
                         Tensor const& residual, bool relu, Tensor& y) = 0;
  /// sums (2, Ch), Wide: the sums of g and of g * xhat, that is dbias and dgain; g is dy, masked by
  /// y > 0 unless `y` is empty (no ReLU).
  virtual void normalise_backward_sums(Tensor const& x, Tensor const& y, Tensor const& dy,
                                       Tensor const& mean, Tensor const& variance, double epsilon,
                                       Tensor& sums) = 0;
  /// dx := gain / sqrt(variance + epsilon) (g - sums[0] / count - xhat sums[1] / count), with
  /// moments (count, mean, variance) and sums of the whole group. `dresidual` := g unless empty.
  virtual void normalise_backward(Tensor const& x, Tensor const& y, Tensor const& dy,
                                  Tensor const& moments, double epsilon, Tensor const& gain,
                                  Tensor const& sums, Tensor& dx, Tensor& dresidual) = 0;

  // Matrices.
  /// c := alpha op(a) op(b) + beta c. a, b: Float; c: Float or Wide. a: (m, k) or, transposed,
  /// (k, m); b: (k, n) or (n, k); c: (m, n).
  virtual void matmul(Tensor const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                      double beta, Tensor& c) = 0;
  /// y[r, c] += bias[c]. y (rows, n), Float; bias (n), Wide.
  virtual void add_bias(Tensor const& bias, Tensor& y) = 0;
  /// y[r, to + c] := x[r, from + c] for c in [0, columns). x (rows, m), y (rows, n), of any one
  /// dtype; other columns of y stay.
  virtual void copy_columns(Tensor const& x, int64_t from, int64_t columns, Tensor& y,
                            int64_t to) = 0;
  /// out[c] := sum over r of x[r, c]; x (..., n) Float, out (n) Wide. In an order that depends on
  /// nothing but the shape.
  virtual void sum_rows(Tensor const& x, Tensor& out) = 0;
  /// y[r] := x[r] / max(|x[r]|, 1e-12), norm[r] := |x[r]|. x (rows, n) Float, norm (rows) Wide.
  virtual void l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) = 0;
  /// dx[r] := (dy[r] - y[r] <y[r], dy[r]>) / max(norm[r], 1e-12).
  virtual void l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                                     Tensor& dx) = 0;

  // The class-sharded softmax. z (B, n): logits, Wide, of the classes [first, first + n); labels
  // (B), i64, global class numbers, negative for rows that do not count; bias (n), Wide, or empty.
  /// stats (B, 3) := (-inf, 0, 0) in each row: nothing seen yet.
  virtual void softmax_begin(Tensor& stats) = 0;
  /// Merges a chunk into stats (B, 3), Wide: maximum m, sum of exp(z - m), logit of the target (0
  /// until its chunk comes). A row with m = -inf takes 0 as reference.
  /// Adds `bias` to z first, in place. Sums go by tiles of at most 4096 classes.
  virtual void softmax_statistics(Tensor const& bias, Tensor const& labels, int64_t first,
                                  Tensor& z, Tensor& stats) = 0;
  /// From the statistics of all shards, parts (P, B, 3), merged in order: lse (B) = log of the sum
  /// of exp over all classes, loss (B) = lse - target, 0 for rows whose label is negative.
  virtual void softmax_merge(Tensor const& parts, Tensor const& labels, Tensor& lse,
                             Tensor& loss) = 0;
  /// g (B, n) := factor (exp(z - lse) - [class == label]), 0 for rows with a negative label. z has
  /// the bias in it; g is Float.
  virtual void softmax_gradient(Tensor const& z, Tensor const& lse, Tensor const& labels,
                                int64_t first, double factor, Tensor& g) = 0;
  /// Keeps the best k: merges a chunk's z into scores (B, k), Wide and descending, and classes (B,
  /// k), i64. Equal scores: the lower class first. Start with -inf and -1.
  virtual void top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) = 0;

  // Optimizer.
  /// One SGD step on the master weights w (Wide) with gradient g (Wide); `velocity` like w, or
  /// empty without momentum; `copy` (bf16), the weights rounded for compute, or empty.
  virtual void sgd(SgdStep const& step, Tensor const& g, Tensor& w, Tensor& velocity,
                   Tensor& copy) = 0;
};

}  // namespace core
