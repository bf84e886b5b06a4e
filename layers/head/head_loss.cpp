#include "layers/head/head_loss.h"
#include "core/device.h"
#include "layers/layer.h"

namespace layers {
using core::Tensor;

namespace {

void check_margin(HeadLoss const& l) {
  bool const has_margin =
      l.m1 != 1 || l.m2 != 0 || l.m3 != 0 || l.margin != MarginKind::fixed || l.filters();
  core::check(l.cosine() || !has_margin,
              "head: margins and the inter-class filter require cosines (Product::cosine)");
  core::check(l.scale > 0, "head: scale ", l.scale, "; must be positive");
  core::check(l.m1 >= 1 && l.m2 >= 0 && l.m3 >= 0, "head: margins ", l.m1, ", ", l.m2, ", ", l.m3,
              "; m1 must be at least 1, m2 and m3 at least 0");
  core::check(l.margin == MarginKind::fixed || (l.m1 == 1 && l.m3 == 0),
              "head: AdaFace and CurricularFace use only m2; m1 must be 1 and m3 must be 0");
  core::check(l.share > 0 && l.share <= 1, "head: share ", l.share, "; must be in (0, 1]");
}

}  // namespace

void check_loss(HeadLoss const& l, bool bias) {
  core::check(l.smoothing >= 0 && l.smoothing < 1, "head: label smoothing ", l.smoothing,
              "; must be in [0, 1)");
  core::check(l.z_loss >= 0, "head: z-loss ", l.z_loss, "; must not be negative");
  check_margin(l);
  core::check(!l.cosine() || !bias, "head: a bias is not supported with cosines");
  core::check(!l.filters() || l.smoothing == 0,
              "head: the inter-class filter removes classes from the softmax, but label smoothing "
              "needs the logits of all classes; use only one of them");
  core::check(
      !l.filters() || l.margin != MarginKind::curricular,
      "head: CurricularFace emphasizes hard negatives, but the inter-class filter removes them; "
      "use only one of them");
  core::check(l.margin != MarginKind::curricular || l.smoothing == 0,
              "head: CurricularFace modifies the logits of hard negatives, which label smoothing "
              "would also use; use only one of them");
}

Margins::Margins(core::Device& device, core::Dtype dtype, HeadLoss const& loss) : loss_(loss) {
  if (loss.margin == MarginKind::curricular) memory_ = filled(device, {1}, dtype, 0);
  if (loss.margin == MarginKind::adaptive) {
    // Initial values of the public implementation: mean 20, standard deviation 100.
    memory_ = filled(device, {2}, dtype, 100);
    Tensor mean = memory_.rows(0, 1);
    device.kernels().fill(20, mean);
  }
}

core::LogitRule Margins::of(Tensor const& norms, Tensor const& labels, Tensor const& products,
                            bool training) {
  core::LogitRule rule{.scale = loss_.scale, .gradient = loss_.gradient};
  rule.sum_logits = loss_.smoothing > 0;
  if (!loss_.cosine()) return rule;
  auto& device = norms.device();
  auto& kernels = device.kernels();
  double const share = training ? loss_.share : 0;
  rule.margins = Tensor(device, {norms.count(), 3}, norms.dtype());
  if (loss_.margin == MarginKind::adaptive) {
    rule.beyond = core::math::BeyondPi::clamped;
    kernels.adaptive_margins(loss_.m2, loss_.h, share, norms, memory_, rule.margins);
  } else {
    fill_margins(rule.margins);
  }
  if (loss_.filters()) rule.thresholds = filled(device, norms.shape(), norms.dtype(), loss_.filter);
  if (needs_targets()) {
    rule.thresholds = core::empty_like(norms);
    kernels.curricularface_update(loss_.m2, share, labels, products, memory_, rule.thresholds);
    rule.hardness = clone(memory_);  // a copy, because later batches of the step update it
  }
  return rule;
}

/// Writes m1, m2, m3 to each row.
void Margins::fill_margins(Tensor& margins) const {
  auto& device = margins.device();
  int64_t column = 0;
  for (double const m : {loss_.m1, loss_.m2, loss_.m3}) {
    auto const values = filled(device, {margins.size(0), 1}, margins.dtype(), m);
    device.kernels().copy_columns(values, 0, 1, margins, column++);
  }
}

}  // namespace layers
