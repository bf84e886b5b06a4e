#pragma once
#include <limits>
#include "core/kernels.h"

namespace layers {

/// Product of features and class weights: dot product, or cosine times a scale.
enum class Product { dot, cosine };

/// Source of the margin on the cosine of the target.
enum class MarginKind {
  fixed,       ///< m1, m2, m3 as given; 1, 0, 0: no margin (NormFace)
  adaptive,    ///< AdaFace: depends on the norm of the features; m2 is its m
  curricular,  ///< CurricularFace: m2 as in ArcFace; hard negatives gain weight during training
};

/// The loss of a head. Equations: docs/head.md, core/math/margin.h and softmax.h.
struct HeadLoss {
  double smoothing = 0;  ///< label smoothing ε in [0, 1)
  double z_loss = 0;     ///< coefficient λ of the z-loss λ lse²

  Product product = Product::dot;
  double scale = 1;               ///< factor s of cosines
  double m1 = 1, m2 = 0, m3 = 0;  ///< logit of the target: s (cos(m1 θ + m2) - m3)
  MarginKind margin = MarginKind::fixed;
  core::math::MarginGradient gradient = core::math::MarginGradient::exact;
  double h = 0.333;     ///< AdaFace: sensitivity of the margin to the norm
  double share = 0.01;  ///< AdaFace, CurricularFace: weight of the batch in running statistics
  /// Inter-class filter: other classes with a larger cosine are excluded from the softmax.
  double filter = std::numeric_limits<double>::infinity();

  static HeadLoss normface(double scale) { return {.product = Product::cosine, .scale = scale}; }
  static HeadLoss cosface(double scale, double m) { return combined(scale, 1, 0, m); }
  static HeadLoss arcface(double scale, double m) { return combined(scale, 1, m, 0); }
  static HeadLoss sphereface(double scale, double m) { return combined(scale, m, 0, 0); }
  static HeadLoss combined(double scale, double m1, double m2, double m3) {
    return {.product = Product::cosine, .scale = scale, .m1 = m1, .m2 = m2, .m3 = m3};
  }
  static HeadLoss adaface(double scale, double m, double h) {
    HeadLoss loss = combined(scale, 1, m, 0);
    loss.margin = MarginKind::adaptive;
    loss.h = h;
    return loss;
  }
  static HeadLoss curricularface(double scale, double m) {
    HeadLoss loss = combined(scale, 1, m, 0);
    loss.margin = MarginKind::curricular;
    return loss;
  }

  bool cosine() const { return product == Product::cosine; }
  bool filters() const { return filter < std::numeric_limits<double>::infinity(); }
};

/// Throws: core::Error for values out of range, margins without cosines, a bias with cosines, and
/// unsupported combinations; the message contains the reason.
void check_loss(HeadLoss const& loss, bool bias);

/// Creates the logit rule of each batch and owns the running statistics of adaptive margins, which
/// are the same on every rank.
class Margins {
 public:
  /// `dtype`: the accumulator type, Acc.
  Margins(core::Device& device, core::Dtype dtype, HeadLoss const& loss);

  /// True if `of` needs the products of the targets.
  bool needs_targets() const { return loss_.margin == MarginKind::curricular; }

  /// Returns the rule of a batch. norms (B): norms of the global batch's features. labels (B).
  /// products (B): products of the targets, or empty if they are not needed. `training`: update the
  /// running statistics.
  core::LogitRule of(core::Tensor const& norms, core::Tensor const& labels,
                     core::Tensor const& products, bool training);

  /// Running statistics. AdaFace: (2), mean and standard deviation of the norms. CurricularFace:
  /// (1), t. Otherwise empty.
  core::Tensor const& memory() const { return memory_; }

 private:
  void fill_margins(core::Tensor& margins) const;

  HeadLoss loss_;
  core::Tensor memory_;
};

}  // namespace layers
