#pragma once
#include "core/math/margin.h"
#include "core/math/softmax.h"
#include "core/random.h"
#include "core/tensor.h"
#include "core/update.h"

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

/// How the products of a batch with classes, p = <x, w>, become logits z. That of the target goes
/// through a margin: z = scale f(p) + bias, with math::Margin f; the others' z = scale p + bias,
/// but where p is above the row's threshold: math::InterclassFilter, or math::HardNegatives with
/// hardness.
struct LogitRule {
  double scale = 1;
  Tensor margins;  ///< (B, 3), Wide: m1, m2, m3; empty: f(p) = p
  math::BeyondPi beyond = math::BeyondPi::monotone;
  math::MarginGradient gradient = math::MarginGradient::exact;
  Tensor thresholds;        ///< (B), Wide, or empty
  Tensor hardness;          ///< (1), Wide, or empty
  bool sum_logits = false;  ///< label smoothing needs the sum of all logits
};

/// The classes [first, first + n), as a pass over classes takes them.
struct ClassChunk {
  int64_t first = 0;
  Tensor bias;     ///< (n), Wide, or empty
  Tensor weights;  ///< (n), Wide: of classes in the loss; empty: 1
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
  virtual void random_normal(RandomKey key, int64_t first, double mean, double stddev,
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
  virtual void batch_statistics(Tensor const& x, Tensor& moments) = 0;
  /// The moments of the union of `parts` (P, 3, Ch), merged in order (Chan, Golub, LeVeque 1983);
  /// merged (3, Ch): count, mean, biased variance. Then the running statistics (Ch) move:
  /// running := (1 - momentum) running + momentum batch, with the unbiased variance
  /// (divisor max(count - 1, 1)), unless the count is 0 or a channel's moments are not finite: one
  /// bad batch would stay in them for ever. All Wide.
  virtual void merge_statistics(Tensor const& parts, double momentum, Tensor& merged,
                                Tensor& running_mean, Tensor& running_variance) = 0;
  /// y := (x - mean) / sqrt(variance + epsilon) * gain + bias [+ residual] [then ReLU].
  /// mean, variance, gain, bias: (Ch), Wide. `residual`: x's shape, or empty.
  virtual void batch_norm(Tensor const& x, Tensor const& mean, Tensor const& variance,
                          double epsilon, Tensor const& gain, Tensor const& bias,
                          Tensor const& residual, bool relu, Tensor& y) = 0;
  /// sums (2, Ch), Wide: the sums of g and of g * xhat, that is dbias and dgain; g is dy, masked by
  /// y > 0 unless `y` is empty (no ReLU).
  virtual void batch_norm_backward_sums(Tensor const& x, Tensor const& y, Tensor const& dy,
                                        Tensor const& mean, Tensor const& variance, double epsilon,
                                        Tensor& sums) = 0;
  /// dx := gain / sqrt(variance + epsilon) (g - sums[0] / count - xhat sums[1] / count), with
  /// moments (count, mean, variance) and sums of the whole group. `dresidual` := g unless empty.
  virtual void batch_norm_backward(Tensor const& x, Tensor const& y, Tensor const& dy,
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
  /// y[r] := x[indices[r] - first], zeros where there is no such row. x and y (., ...), of any one
  /// dtype; indices (rows of y), i64.
  virtual void gather_rows(Tensor const& x, Tensor const& indices, int64_t first, Tensor& y) = 0;
  /// y[indices[r]] := x[r], left out where y has no such row; other rows of y stay. indices (rows
  /// of x), i64, those within y distinct.
  virtual void scatter_rows(Tensor const& x, Tensor const& indices, Tensor& y) = 0;
  /// x[r, .] *= alpha factors[r]. x (rows, ...) Float, factors (rows) Wide.
  virtual void scale_rows(double alpha, Tensor const& factors, Tensor& x) = 0;
  /// y[r, .] += factors[r] x[r, .]. x (rows, ...) Float, y like x and factors (rows) Wide.
  virtual void accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) = 0;
  /// out[c] := sum over r of x[r, c]; x (..., n) Float, out (n) Wide. In an order that depends on
  /// nothing but the shape.
  virtual void sum_rows(Tensor const& x, Tensor& out) = 0;
  /// out[r] := <x[r], y[r]>. x, y (rows, n) Float, out (rows) Wide.
  virtual void row_products(Tensor const& x, Tensor const& y, Tensor& out) = 0;
  /// y[r] := x[r] / max(|x[r]|, 1e-12), norm[r] := |x[r]|. x (rows, n) Float, norm (rows) Wide; y
  /// is of x's dtype, or bf16 where that is f32.
  virtual void l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) = 0;
  /// dx[r] := (dy[r] - y[r] <y[r], dy[r]>) / max(norm[r], 1e-12). y Float; dy and dx of one dtype,
  /// y's or Wide.
  virtual void l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                                     Tensor& dx) = 0;

  // The class-sharded softmax: docs/head.md. z (B, n), Wide: products with the classes of a chunk;
  // LogitRule makes logits of them on the way. labels (B), i64, global class numbers, negative for
  // rows that do not count.
  /// stats (B, RowStatistics::count) := (-inf, 0, 0, 0, 0, 0) in each row: nothing seen yet.
  virtual void softmax_begin(Tensor& stats) = 0;
  /// Merges a chunk into stats (B, RowStatistics::count), Wide, math::RowStatistics: maximum m of
  /// the logits, sum of exp(z - m); of the target, once its chunk comes, the logit, the class's
  /// weight and the slope dz/dp; the sum of weight times logit, if asked. A row with m = -inf takes
  /// 0 as reference. Sums go by tiles of at most 4096 classes.
  virtual void softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                  Tensor const& labels, Tensor const& z, Tensor& stats) = 0;
  /// The same, and leaves what a second pass needs in place of z. reference (B): m after this
  /// chunk, 0 for -inf. e (B, n), Float := exp(z - reference) dz/dp, 0 at the target. rescale (B)
  /// := exp(m before - reference), 0 for m = -inf: what sums over earlier chunks are scaled with.
  virtual void softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                    Tensor const& labels, Tensor const& z, Tensor& stats, Tensor& e,
                                    Tensor& reference, Tensor& rescale) = 0;
  /// From the statistics of all shards, parts (P, B, RowStatistics::count), merged in order: rows
  /// (B, 4), Wide, math::RowGradient: lse = log of the sum of exp over all classes, and of the
  /// gradient in a row's products the factor of the softmax, that of all classes alike, and the
  /// target's whole. 0 for rows whose label is negative. sums (2), f64 += the sum of losses, and of
  /// weights w_y.
  virtual void softmax_merge(math::LossRule const& rule, Tensor const& parts, Tensor const& labels,
                             Tensor& rows, Tensor& sums) = 0;
  /// loss (1), Wide := sums[0] / sums[1], 0 where no row counts. The factors of `rows` are divided
  /// by sums[1]; where the loss is not finite or no row counts, they are 0. factor (1), f64 := 0
  /// where the loss is not finite, 1 otherwise. Without `rows`, factor takes the division.
  virtual void softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) = 0;
  /// g (B, n), Float: the loss's gradient in the products z, from `rows`. All 0 in rows whose three
  /// factors are.
  virtual void softmax_gradient(LogitRule const& rule, ClassChunk const& chunk,
                                Tensor const& labels, Tensor const& z, Tensor const& rows,
                                Tensor& g) = 0;
  /// The same in place, from what softmax_exponentials left in e, Float, with its reference (B).
  /// Without hardness where there is smoothing.
  virtual void softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk,
                                       Tensor const& labels, Tensor const& reference,
                                       Tensor const& rows, Tensor& e) = 0;
  /// margins (B, 3) := (1, m2, m3) of math::AdaptiveMargin, of norms (B), Wide. moments (2), Wide:
  /// running mean and deviation of the clipped norms, which first move by `share` to those of the
  /// batch (divisor B - 1); a batch of one row leaves the deviation, and one with NaN leaves both.
  virtual void adaptive_margins(double m, double h, double share, Tensor const& norms,
                                Tensor& moments, Tensor& margins) = 0;
  /// thresholds (B) := math::hard_threshold of the targets' products (B), Wide. hardness (1) moves
  /// by `share` to the mean product of the rows whose label is not negative; where there are none
  /// it stays.
  virtual void curricularface_update(double m, double share, Tensor const& labels,
                                     Tensor const& products, Tensor& hardness,
                                     Tensor& thresholds) = 0;
  /// Keeps the best k: merges a chunk's z into scores (B, k), Wide and descending, and classes (B,
  /// k), i64. Equal scores: the lower class first. Start with -inf and -1.
  virtual void top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) = 0;

  // Optimizer.
  /// One step of `rule` on (rows, ...) from the gradient g, Wide, of w's shape. `trust` (rows),
  /// Wide, multiplies the gradient of each row with the decay in it; or empty. `first_row`: the
  /// number in the whole parameter of row 0, so that stochastic rounding does not depend on who has
  /// which rows.
  virtual void update(UpdateRule const& rule, int64_t first_row, Tensor const& trust,
                      Tensor const& g, UpdateState& state) = 0;
  /// trust (rows), Wide: eta |w| / (|factor g| + decay |w|) of each row of g, Wide, and w, Float; 1
  /// where either norm is 0. factor: UpdateRule's. LARS (You, Gitman, Ginsburg 2017), which goes
  /// on with SGD.
  virtual void lars_trust_ratio(double eta, double decay, Tensor const& factor, Tensor const& g,
                                Tensor const& w, Tensor& trust) = 0;
  /// sum += the sum of x[i]^2; x Float, sum (1) f64. In an order that depends on the shape alone.
  virtual void add_squared_norm(Tensor const& x, Tensor& sum) = 0;
  /// factor *= min(1, most / (norm + 1e-6)), PyTorch's clip_grad_norm_, for gradients that have yet
  /// to be multiplied by factor: norm = factor sqrt(squares). 0 where squares is not finite. Both
  /// (1), f64.
  virtual void clip_factor(double most, Tensor const& squares, Tensor& factor) = 0;
};

}  // namespace core
