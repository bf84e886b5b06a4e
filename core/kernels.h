#pragma once
#include "core/columns.h"
#include "core/math/margin.h"
#include "core/math/softmax.h"
#include "core/normalization.h"
#include "core/random.h"
#include "core/tensor.h"
#include "core/update.h"

namespace core {

/// Sliding window over the H and W axes of an image (convolution, pooling): height and width of
/// each quantity.
struct Window {
  struct Pair {
    int64_t h, w;
    bool operator==(Pair const&) const = default;
  };
  Pair size{1, 1};
  Pair stride{1, 1};
  Pair padding{0, 0};   ///< padding at each of the two sides
  Pair dilation{1, 1};  ///< 1: no dilation

  bool operator==(Window const&) const = default;

  /// Returns the number of window positions along an axis, the output size: floor((in + 2 padding -
  /// dilation (size - 1) - 1) / stride) + 1; 0 if the window does not fit.
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

/// What a kernel does with the values of its result.
enum class Store {
  replace,
  add,  ///< the result is added to the output; in bf16 it may be rounded before the addition
};

/// How the products p = <x, w> of a batch with class weights become logits z. Target class: z =
/// scale f(p) + bias, with the margin function f of math::Margin. Other classes: z = scale p +
/// bias; if p exceeds the row's threshold, math::InterclassFilter applies, or math::HardNegatives
/// if `hardness` is set.
struct LogitRule {
  double scale = 1;
  Tensor margins;  ///< (B, 3), Acc: m1, m2, m3; empty: f(p) = p
  math::BeyondPi beyond = math::BeyondPi::monotone;
  math::MarginGradient gradient = math::MarginGradient::exact;
  Tensor thresholds;        ///< (B), Acc, or empty
  Tensor hardness;          ///< (1), Acc, or empty
  bool sum_logits = false;  ///< also sum all logits; label smoothing needs the sum
};

/// The classes [first, first + n): one chunk of a pass over classes.
struct ClassChunk {
  int64_t first = 0;
  Tensor bias;     ///< (n), Acc, or empty
  Tensor weights;  ///< (n), Acc: class weights in the loss; empty: 1
};

/// The arithmetic of a device. Every method is one array operation on dense tensors of that device.
/// Callers must pass matching shapes and dtypes: kernels do not check them (core/ops and layers do,
/// with error messages).
///
/// "Float" is f32, f64 or bf16, the same for all tensors of a call unless stated otherwise. "Acc"
/// is the accumulator type of Float, accumulator(dtype): f64 for f64, otherwise f32; sums are kept
/// in it. Any size of a tensor may be 0. The f64 methods of the CPU device are plain loops and are
/// the specification of all others. Outputs are the last, non-const arguments, and are overwritten
/// unless stated otherwise.
///
/// Throws: Error if the implementation does not support a dtype.
class Kernels {
 public:
  virtual ~Kernels() = default;

  // Elementwise.
  /// t[i] := value. Any dtype.
  virtual void fill(double value, Tensor& t) = 0;
  /// to[i] := from[i], rounded to nearest. `from`: Float or u8; `to`: any Float.
  virtual void convert(Tensor const& from, Tensor& to) = 0;
  /// t[i] *= factor.
  virtual void scale(double factor, Tensor& t) = 0;
  /// y[i] += alpha x[i]; x and y may have different Float dtypes.
  virtual void accumulate(double alpha, Tensor const& x, Tensor& y) = 0;
  /// z[i] := x[i] + y[i].
  virtual void add(Tensor const& x, Tensor const& y, Tensor& z) = 0;
  /// y[i] := max(x[i], 0). NaN stays NaN.
  virtual void relu(Tensor const& x, Tensor& y) = 0;
  /// dx[i] := y[i] > 0 ? dy[i] : 0; y is the result of relu.
  virtual void relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) = 0;
  /// y[i] := uniform number first + i of the stream < probability ? 0 : x[i] / (1 - probability).
  /// Its own backward: the same call on dy. `first` makes the mask independent of the ranks.
  virtual void dropout(Tensor const& x, RandomKey key, int64_t first, double probability,
                       Tensor& y) = 0;

  // Random numbers: element i is number `first` + i of the stream `key`.
  /// Normal distribution with this mean and standard deviation. t: f32 or f64 (the same numbers).
  virtual void random_normal(RandomKey key, int64_t first, double mean, double stddev,
                             Tensor& t) = 0;
  /// Uniform distribution in [low, high). t: f32 or f64.
  virtual void random_uniform(RandomKey key, int64_t first, double low, double high, Tensor& t) = 0;

  // Images: x (N, H, W, Ch), w (Out, h, w, Ch / groups), y (N, H', W', Out).
  /// y := conv(x, w) + bias. `bias`: (Out), Acc, or empty.
  virtual void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                      int64_t groups, Tensor& y) = 0;
  virtual void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                                     int64_t groups, Store store, Tensor& dx) = 0;
  /// dw: Acc. Zero if the batch is empty.
  virtual void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                       int64_t groups, Tensor& dw) = 0;
  /// y: the largest element in the window; padding is never chosen. `where`: i32, shape of y: index
  /// h * window.w + w of that element in the window (the first of equal ones). NaN counts as the
  /// largest. A window of padding only yields -inf and index -1.
  virtual void max_pool(Tensor const& x, Window const& window, Tensor& y, Tensor& where) = 0;
  virtual void max_pool_backward(Tensor const& dy, Tensor const& where, Window const& window,
                                 Tensor& dx) = 0;
  /// y: the mean over the window; padding counts as zeros (PyTorch's count_include_pad).
  virtual void average_pool(Tensor const& x, Window const& window, Tensor& y) = 0;
  virtual void average_pool_backward(Tensor const& dy, Window const& window, Tensor& dx) = 0;

  // Batch normalization of x (..., Ch), in separate steps, so that statistics can be combined
  // across ranks.
  /// moments (3, Ch), Acc: per channel the number of elements, their mean, and their sum of squared
  /// differences from the mean. All zero for an empty x.
  virtual void batch_statistics(Tensor const& x, Tensor& moments) = 0;
  /// Merges the moments of `parts` (P, 3, Ch) in order (Chan, Golub, LeVeque 1983) into merged (3,
  /// Ch): count, mean, biased variance. Then updates the running statistics (Ch): running := (1 -
  /// momentum) running + momentum batch, with the unbiased variance (divisor max(count - 1, 1)).
  /// They stay unchanged if the count is 0, and in channels whose moments are not finite: a
  /// non-finite value would never leave them. All tensors: Acc.
  virtual void merge_statistics(Tensor const& parts, double momentum, Tensor& merged,
                                Tensor& running_mean, Tensor& running_variance) = 0;
  /// y := act(z [+ residual]), as in Normalization. `residual`: shape of x, or empty; none with
  /// PReLU. `signs` (signs_shape), u8, or empty: the signs of y.
  virtual void batch_norm(Normalization const& norm, Tensor const& x, Tensor const& residual,
                          Tensor& y, Tensor& signs) = 0;
  /// sums (2, Ch), with PReLU (3, Ch), Acc: the sums of g and of g * xhat, which are dbias and
  /// dgain, and dslope. g is the gradient with respect to z. `signs`: as batch_norm stored them;
  /// required for a ReLU after a residual, otherwise empty.
  virtual void batch_norm_backward_sums(Normalization const& norm, Tensor const& x,
                                        Tensor const& signs, Tensor const& dy, Tensor& sums) = 0;
  /// dx := gain / sqrt(variance + epsilon) (g - sums[0] / count - xhat sums[1] / count). count
  /// (Ch), Acc. count, mean, variance and sums are those of all ranks. `dresidual` := g unless
  /// empty.
  virtual void batch_norm_backward(Normalization const& norm, Tensor const& x, Tensor const& signs,
                                   Tensor const& dy, Tensor const& count, Tensor const& sums,
                                   Store store, Tensor& dx, Tensor& dresidual) = 0;

  // Matrices.
  /// c := alpha op(a) op(b) + beta c. a, b: Float; c: Float or Acc. a: (m, k) or, transposed, (k,
  /// m), possibly some columns of a wider matrix; b: (k, n) or (n, k); c: (m, n).
  virtual void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                      double beta, Tensor& c) = 0;
  /// y[r, c] += bias[c]. y (rows, n), Float; bias (n), Acc.
  virtual void add_bias(Tensor const& bias, Tensor& y) = 0;
  /// y[r, to + c] := x[r, from + c] for c in [0, columns). x (rows, m), y (rows, n), both of any
  /// one dtype; other columns of y keep their values.
  virtual void copy_columns(Tensor const& x, int64_t from, int64_t columns, Tensor& y,
                            int64_t to) = 0;
  /// y[r] := x[indices[r] - first]; zeros if x has no such row. x and y (., ...), both of any one
  /// dtype; indices (rows of y), i64.
  virtual void gather_rows(Tensor const& x, Tensor const& indices, int64_t first, Tensor& y) = 0;
  /// y[indices[r]] := x[r]; skipped if y has no such row. Other rows of y keep their values.
  /// indices (rows of x), i64; indices within y must be distinct.
  virtual void scatter_rows(Tensor const& x, Tensor const& indices, Tensor& y) = 0;
  /// x[r, .] *= alpha factors[r]. x (rows, ...) Float, factors (rows) Acc.
  virtual void scale_rows(double alpha, Tensor const& factors, Tensor& x) = 0;
  /// y[r, .] += factors[r] x[r, .]. x (rows, ...) Float; y, of the shape of x, and factors (rows):
  /// Acc.
  virtual void accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) = 0;
  /// out[c] := sum over r of x[r, c]; x (..., n) Float, out (n) Acc. The order of summation depends
  /// only on the shape.
  virtual void sum_rows(Tensor const& x, Tensor& out) = 0;
  /// out[r] := <x[r], y[r]>. x, y (rows, n) Float, out (rows) Acc.
  virtual void row_products(Tensor const& x, Tensor const& y, Tensor& out) = 0;
  /// y[r] := x[r] / max(|x[r]|, 1e-12), norm[r] := |x[r]|. x (rows, n) Float, norm (rows) Acc; y
  /// has x's dtype, or bf16 if x is f32.
  virtual void l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) = 0;
  /// dx[r] := (dy[r] - y[r] <y[r], dy[r]>) / max(norm[r], 1e-12). y Float; dy and dx both have y's
  /// dtype, or both Acc.
  virtual void l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                                     Tensor& dx) = 0;

  // Class-sharded softmax: docs/head.md. z (B, n), Acc: products of the batch with the classes of a
  // chunk; LogitRule converts them to logits inside the kernels. labels (B), i64: global class
  // indices; rows with a negative label are ignored. tiles (math::tiles_of(n), B, 3), Acc: the
  // math::TileSum of each tile of math::tile_classes classes and each row, target excluded.
  /// Initializes stats (B, RowStatistics::count) to (-inf, 0, 0, 0, 0, 0) in each row: no classes
  /// merged yet.
  virtual void softmax_begin(Tensor& stats) = 0;
  /// tiles: maximum m and sum of exp(z - m), with 0 as the reference instead of m if m is -inf; the
  /// sum of class weight times logit, if requested. Merges the chunk's targets into stats (B,
  /// RowStatistics::count), Acc, indexed by math::RowStatistics: logit, class weight, slope dz/dp.
  virtual void softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                  Tensor const& labels, Tensor const& z, Tensor& stats,
                                  Tensor& tiles) = 0;
  /// reference (B), Acc := the largest logit of each row in the first tile, with the target; -inf
  /// if there is none.
  virtual void softmax_reference(LogitRule const& rule, ClassChunk const& chunk,
                                 Tensor const& labels, Tensor const& z, Tensor& reference) = 0;
  /// Like softmax_statistics, and also writes the input of a second pass: e (B, n), Float := exp(z
  /// - r) dz/dp, 0 at the target. r is the row's `reference` (B), Acc, or, where that is -inf or
  /// the tile's maximum is more than 60 above it, the tile's maximum. It takes the place of the
  /// maximum in `tiles`.
  virtual void softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                    Tensor const& labels, Tensor const& z, Tensor const& reference,
                                    Tensor& stats, Tensor& tiles, Columns& e) = 0;
  /// Merges tiles (T, B, 3), in order, into stats: the maximum m of all logits, the sum of exp(z -
  /// m), the sum of class weight times logit. m may be the reference of exponentials instead.
  virtual void softmax_merge_tiles(Tensor const& tiles, Tensor& stats) = 0;
  /// Converts exponentials to one reference in each row: the largest of reference (B) and those of
  /// the tiles; the row's lse if that is more than 60 above. Updates `reference`, tiles (T, B, 3)
  /// and e (B, columns), and multiplies the rows of sums (B, D), Acc, by exp(reference before -
  /// now). Normally there is nothing to convert. Every `chunk` columns of e start a new tile.
  /// `rows` (see softmax_merge) and `sums` may be empty.
  virtual void softmax_align(Tensor const& rows, int64_t chunk, Tensor& tiles, Tensor& reference,
                             Columns& e, Tensor& sums) = 0;
  /// factors (B), Acc := the factor of `rows` times exp(reference - lse): without label smoothing,
  /// an aligned exponential times this factor is the gradient of a class that is not the target.
  virtual void softmax_factors(Tensor const& rows, Tensor const& reference, Tensor& factors) = 0;
  /// e := the target's gradient / factor, for targets among the classes [first, first + columns of
  /// e). 0 if the factor is 0. Other elements keep their values.
  virtual void softmax_targets(int64_t first, Tensor const& labels, Tensor const& rows,
                               Tensor const& factors, Columns& e) = 0;
  /// Merges the statistics of all shards, parts (P, B, RowStatistics::count), in order. rows (B,
  /// 4), Acc, indexed by math::RowGradient: lse, the log of the sum of exp over all classes; then
  /// the terms of the gradient with respect to the row's products: the factor of the softmax, the
  /// term that all classes share, and the complete gradient of the target. The three terms are 0 if
  /// the label is negative. sums (2), f64 += the sum of losses and the sum of the weights w_y.
  virtual void softmax_merge(math::LossRule const& rule, Tensor const& parts, Tensor const& labels,
                             Tensor& rows, Tensor& sums) = 0;
  /// loss (1), Acc := sums[0] / sums[1]; 0 if no row counts. The gradient terms of `rows` are
  /// divided by sums[1]; they become 0 if the loss is not finite or no row counts. factor (1), f64
  /// := 0 if the loss is not finite, otherwise 1. If `rows` is empty, the division is applied to
  /// factor instead.
  virtual void softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) = 0;
  /// g (B, n), Float: gradient of the loss with respect to the products z, from `rows`. All 0 in
  /// rows whose three gradient terms are 0.
  virtual void softmax_gradient(LogitRule const& rule, ClassChunk const& chunk,
                                Tensor const& labels, Tensor const& z, Tensor const& rows,
                                Tensor& g) = 0;
  /// Computes the same gradient in place, from exponentials e, Float, with the same reference (B)
  /// in each row: softmax_align. Not supported: label smoothing together with `hardness`.
  virtual void softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk,
                                       Tensor const& labels, Tensor const& reference,
                                       Tensor const& rows, Columns& e) = 0;
  /// margins (B, 3) := (1, m2, m3) of math::AdaptiveMargin for norms (B), Acc. moments (2), Acc:
  /// running mean and standard deviation of the clipped norms. They are first updated by `share`
  /// towards those of the batch (divisor B - 1). A batch of one row leaves the deviation unchanged;
  /// a batch with NaN leaves both unchanged.
  virtual void adaptive_margins(double m, double h, double share, Tensor const& norms,
                                Tensor& moments, Tensor& margins) = 0;
  /// thresholds (B) := math::hard_threshold of the targets' products (B), Acc. hardness (1) is
  /// updated by `share` towards the mean product of the rows whose label is not negative; unchanged
  /// if there are no such rows.
  virtual void curricularface_update(double m, double share, Tensor const& labels,
                                     Tensor const& products, Tensor& hardness,
                                     Tensor& thresholds) = 0;
  /// Updates the top k: merges a chunk's z into scores (B, k), Acc, descending, and classes (B, k),
  /// i64. Among equal scores the lower class comes first. Initialize with -inf and -1.
  virtual void top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) = 0;

  // Optimizer.
  /// One step of `rule` on the parameter rows `state` (rows, ...) with the gradient g, Acc, of w's
  /// shape. `trust` (rows), Acc, or empty: multiplies each row's gradient including weight decay.
  /// `first_row`: index of row 0 in the whole parameter, so that stochastic rounding does not
  /// depend on how rows are distributed over ranks.
  virtual void update(UpdateRule const& rule, int64_t first_row, Tensor const& trust,
                      Tensor const& g, UpdateState& state) = 0;
  /// One step of `rule` on each of several whole parameters, as by update() without trust ratios.
  /// All g, w, first and second have the same dtype, Acc.
  virtual void update_all(UpdateRule const& rule, std::vector<ParameterUpdate>& all) = 0;
  /// trust (rows), Acc: eta |w| / (|factor g| + decay |w|) for each row of g, Acc, and w, Float; 1
  /// if either norm is 0. factor: UpdateRule::gradient_scale. LARS (You, Gitman, Ginsburg 2017), to
  /// be followed by an SGD step.
  virtual void lars_trust_ratio(double eta, double decay, Tensor const& factor, Tensor const& g,
                                Tensor const& w, Tensor& trust) = 0;
  /// sum += the sum of x[i]^2; x Float, sum (1) f64. The order of summation depends only on the
  /// shape.
  virtual void add_squared_norm(Tensor const& x, Tensor& sum) = 0;
  /// factor *= min(1, most / (norm + 1e-6)), as PyTorch's clip_grad_norm_, with norm = factor
  /// sqrt(squares): `squares` belongs to gradients that are not yet multiplied by factor. factor :=
  /// 0 if squares is not finite. Both (1), f64.
  virtual void clip_factor(double most, Tensor const& squares, Tensor& factor) = 0;
};

}  // namespace core
