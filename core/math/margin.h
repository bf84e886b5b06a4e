#pragma once
#include <cmath>
#include <numbers>
#include "core/math/host_device.h"

/// Margin functions: from cosines to logits, for the target class and for the other classes.
namespace core::math {

/// Value and slope of a function at a point.
template <class Acc>
struct Point {
  Acc value, slope;
};

/// Behavior where m1 θ + m2 leaves [0, π], beyond which the cosine would increase again.
enum class BeyondPi {
  monotone,  ///< continues to decrease (formulas at math::Margin; docs/head.md, Losses)
  clamped,   ///< the angle is clipped to [1e-3, π - 1e-3], with slope 0 outside: AdaFace
};
/// Slope used for the target's gradient: the derivative of the margin function, or 1.
enum class MarginGradient { exact, straight_through };

/// f(cos θ) = cos(m1 θ + m2) - m3: ArcFace (Deng et al. 2019) is (1, m, 0), CosFace (Wang et al.
/// 2018) (1, 0, m), SphereFace (Liu et al. 2017) (m, 0, 0).
///
/// BeyondPi::monotone beyond π, with c = cos θ: if m1 = 1, f = c - m2 sin m2 - m3, the published
/// fallback of ArcFace; otherwise SphereFace's f = (-1)^k cos(m1 θ + m2) - 2 k - m3 with
/// k = floor((m1 θ + m2) / π).
/// The slope m1 sin(m1 θ + m2) / sin θ has a pole at |c| = 1: sin θ is clamped to at least 1e-3.
/// Products that rounding put outside [-1, 1] are clamped to that range.
template <class Acc>
struct Margin {
  Acc m1 = 1, m2 = 0, m3 = 0;
  BeyondPi beyond = BeyondPi::monotone;
  MarginGradient gradient = MarginGradient::exact;

  COLONNADE_HD Point<Acc> operator()(Acc product) const {
    Point<Acc> point{product, 1};
    if (m1 != 1 || m2 != 0)
      point = curve(product < Acc(-1) ? Acc(-1) : product > Acc(1) ? Acc(1) : product);
    point.value -= m3;
    if (gradient == MarginGradient::straight_through) point.slope = 1;
    return point;
  }

 private:
  COLONNADE_HD Point<Acc> curve(Acc c) const {
    constexpr Acc pi = std::numbers::pi_v<Acc>, least = Acc(1e-3);
    Acc const sine = std::sqrt(1 - c * c), angle = m1 * std::acos(c) + m2;
    Acc const speed = m1 / (sine < least ? least : sine);  // -d angle / dc
    if (beyond == BeyondPi::clamped) {
      if (angle < least) return {std::cos(least), 0};
      if (angle > pi - least) return {std::cos(pi - least), 0};
    }
    if (angle > pi && m1 == 1) return {c - m2 * std::sin(m2), 1};
    Acc const turns = std::floor(angle / pi);
    bool const odd = turns != 2 * std::floor(turns / 2);
    Acc const sign = odd ? Acc(-1) : Acc(1);
    return {sign * std::cos(angle) - 2 * turns, sign * std::sin(angle) * speed};
  }
};

/// Logit of a class that is not the target: z = scale p.
template <class Acc>
struct Scaled {
  Acc scale;
  COLONNADE_HD Acc logit(Acc p) const { return scale * p; }
  COLONNADE_HD Acc slope(Acc) const { return scale; }  ///< dz / dp
};

/// Inter-class filter: non-target classes with a product above the threshold are excluded from the
/// softmax, z = -inf.
template <class Acc>
struct InterclassFilter {
  Acc scale, threshold;
  COLONNADE_HD Acc logit(Acc p) const { return p > threshold ? Acc(-HUGE_VAL) : scale * p; }
  COLONNADE_HD Acc slope(Acc p) const { return p > threshold ? Acc(0) : scale; }
};

/// CurricularFace (Huang et al. 2020): non-target classes with a product above the threshold are
/// hard negatives, z = scale p (hardness + p).
template <class Acc>
struct HardNegatives {
  Acc scale, threshold, hardness;
  COLONNADE_HD Acc logit(Acc p) const {
    return scale * p * (p > threshold ? hardness + p : Acc(1));
  }
  COLONNADE_HD Acc slope(Acc p) const {
    return scale * (p > threshold ? hardness + 2 * p : Acc(1));
  }
};

/// AdaFace (Kim, Jain, Liu 2022): the margin of a sample from the norm of its features. With k =
/// clip(h (norm - mean) / (stddev + 1e-3), -1, 1): m2 = -m k and m3 = m + m k.
template <class Acc>
struct AdaptiveMargin {
  Acc m, h, mean, stddev;

  /// Clips the norm to [1e-3, 100]. Infinite and NaN norms are returned unchanged; `moved` ignores
  /// batches that contain them.
  COLONNADE_HD static Acc clipped(Acc norm) {
    constexpr Acc least = Acc(1e-3), most = 100;
    return norm < least ? least : norm > most && std::isfinite(norm) ? most : norm;
  }
  COLONNADE_HD void operator()(Acc norm, Acc* margins) const {
    Acc const k = h * (clipped(norm) - mean) / (stddev + Acc(1e-3));
    Acc const turn = m * (k < -1 ? Acc(-1) : k > 1 ? Acc(1) : k);
    margins[0] = 1;
    margins[1] = -turn;
    margins[2] = m + turn;
  }
};

/// CurricularFace: cos(θ + m) of the target's angle θ. Other classes with a larger product are hard
/// negatives.
template <class Acc>
COLONNADE_HD Acc hard_threshold(Acc product, Acc m) {
  Acc const c = product < Acc(-1) ? Acc(-1) : product > Acc(1) ? Acc(1) : product;
  return c * std::cos(m) - std::sqrt(1 - c * c) * std::sin(m);
}

/// Exponential moving average: moves `running` by `share` towards the batch value. A non-finite
/// batch value, from too few rows or from rows that are not finite, leaves it unchanged.
template <class Acc>
COLONNADE_HD Acc moved(Acc running, double share, double batch) {
  return std::isfinite(batch) ? running + static_cast<Acc>(share * (batch - running)) : running;
}

}  // namespace core::math
