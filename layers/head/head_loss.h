#pragma once
#include <limits>
#include "core/kernels.h"

namespace layers {

/// What the products of a head are: dot products, or cosines times a scale.
enum class Product { dot, cosine };

/// Where the margin on the target's cosine comes from.
enum class MarginKind {
  fixed,       ///< m1, m2, m3 as given; 1, 0, 0: none (NormFace)
  adaptive,    ///< AdaFace: from the norm of the features; m2 is its m
  curricular,  ///< CurricularFace: m2 as ArcFace's, and hard negatives weigh more as training goes
};

/// The loss over the classes. Equations: docs/head.md, core/math/margin.h and softmax.h.
struct HeadLoss {
  double smoothing = 0;  ///< label smoothing ε in [0, 1)
  double z_loss = 0;     ///< λ of λ lse²

  Product product = Product::dot;
  double scale = 1;               ///< s of cosines
  double m1 = 1, m2 = 0, m3 = 0;  ///< target: s (cos(m1 θ + m2) - m3)
  MarginKind margin = MarginKind::fixed;
  core::math::MarginGradient gradient = core::math::MarginGradient::exact;
  double h = 0.333;     ///< AdaFace: how much the norm counts
  double share = 0.01;  ///< AdaFace, CurricularFace: by which running values move in a step
  /// Other classes with a larger cosine leave the softmax (inter-class filter).
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

/// Throws Error for numbers out of their range, margins without cosines, a bias with cosines, and
/// combinations without a meaning; each says why.
void check_loss(HeadLoss const& loss, bool bias);

/// Makes the rule of each batch; keeps what margins remember from step to step, the same on every
/// rank.
class Margins {
 public:
  /// `dtype`: Wide.
  Margins(core::Device& device, core::Dtype dtype, HeadLoss const& loss);

  /// True where the rule needs the targets' products beforehand.
  bool needs_targets() const { return loss_.margin == MarginKind::curricular; }

  /// norms (B) of the global batch's features, labels (B); products (B) of the targets, or empty
  /// where they are not needed. `training`: the memory moves.
  core::LogitRule of(core::Tensor const& norms, core::Tensor const& labels,
                     core::Tensor const& products, bool training);

  /// AdaFace: (2), mean and deviation of norms. CurricularFace: (1), t. Otherwise empty.
  core::Tensor const& memory() const { return memory_; }

 private:
  void fill_margins(core::Tensor& margins) const;

  HeadLoss loss_;
  core::Tensor memory_;
};

}  // namespace layers
