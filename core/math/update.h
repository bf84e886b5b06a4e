#pragma once
#include <cmath>
#include <limits>
#include "core/math/host_device.h"
#include "core/update.h"

/// Update formulas of core::Rule for one weight, and factors that scale gradients.
namespace core::math {

/// Constants of an optimizer, in the type of the computation.
template <class Acc>
struct RuleConstants {
  Acc momentum, new_share;        ///< 1 - momentum
  Acc second, new_square_share;   ///< 1 - second
  Acc epsilon, decay, decoupled;  ///< decay added to the gradient, and decoupled decay of the
                                  ///< weights
  bool nesterov;

  explicit RuleConstants(UpdateRule const& rule)
      : momentum(static_cast<Acc>(rule.momentum)),
        new_share(static_cast<Acc>(1 - rule.momentum)),
        second(static_cast<Acc>(rule.second)),
        new_square_share(static_cast<Acc>(1 - rule.second)),
        epsilon(static_cast<Acc>(rule.epsilon)),
        decay(static_cast<Acc>(rule.kind == Rule::adamw ? 0 : rule.decay)),
        decoupled(static_cast<Acc>(rule.kind == Rule::adamw ? rule.decay : 0)),
        nesterov(rule.nesterov) {}
};

/// SGD without momentum. `moments` is the number of state tensors that an optimizer keeps besides
/// w. g already includes weight decay.
template <class Acc>
struct Descent {
  static constexpr int moments = 0;
  Acc rate;

  COLONNADE_HD Descent(RuleConstants<Acc> const&, double const* step_scalars)
      : rate(static_cast<Acc>(step_scalars[0])) {}
  COLONNADE_HD void operator()(Acc g, Acc& w, Acc&, Acc&) const { w -= rate * g; }
};

/// SGD with momentum.
template <class Acc>
struct Momentum {
  static constexpr int moments = 1;
  Acc rate, momentum;
  bool nesterov;

  COLONNADE_HD Momentum(RuleConstants<Acc> const& c, double const* step_scalars)
      : rate(static_cast<Acc>(step_scalars[0])), momentum(c.momentum), nesterov(c.nesterov) {}
  COLONNADE_HD void operator()(Acc g, Acc& w, Acc& velocity, Acc&) const {
    velocity = momentum * velocity + g;
    w -= rate * (nesterov ? g + momentum * velocity : velocity);
  }
};

/// Adam and AdamW.
template <class Acc>
struct Adam {
  static constexpr int moments = 2;
  RuleConstants<Acc> c;
  Acc rate;        ///< learning rate, divided by the bias correction of the first moment
  Acc root_scale;  ///< 1 / sqrt(bias correction of the second moment)
  Acc lost;        ///< AdamW: fraction of the weights that decoupled decay subtracts

  COLONNADE_HD Adam(RuleConstants<Acc> const& c, double const* step_scalars)
      : c(c),
        rate(static_cast<Acc>(step_scalars[0]) / static_cast<Acc>(step_scalars[1])),
        root_scale(1 / std::sqrt(static_cast<Acc>(step_scalars[2]))),
        lost(static_cast<Acc>(step_scalars[0]) * c.decoupled) {}
  COLONNADE_HD void operator()(Acc g, Acc& w, Acc& first, Acc& second) const {
    w -= lost * w;
    first += c.new_share * (g - first);
    second = c.second * second + c.new_square_share * g * g;
    w -= rate * first / (std::sqrt(second) * root_scale + c.epsilon);
  }
};

/// Calls f.operator()<R>() with the functor type R of the rule.
template <class Acc, class F>
void visit_rule(UpdateRule const& rule, F const& f) {
  if (rule.kind != Rule::sgd)
    f.template operator()<Adam<Acc>>();
  else if (rule.momentum != 0)
    f.template operator()<Momentum<Acc>>();
  else
    f.template operator()<Descent<Acc>>();
}

/// Factor by which LARS multiplies a row's gradient, from the squared norms of its weights and
/// gradient; `factor` is applied to the gradient before.
COLONNADE_HD inline double lars_trust_ratio(double eta, double decay, double factor,
                                            double w_squares, double g_squares) {
  double const w = std::sqrt(w_squares), g = factor * std::sqrt(g_squares);
  return w > 0 && g > 0 ? eta * w / (g + decay * w) : 1;
}

/// Kernels::clip_factor.
COLONNADE_HD inline double clip_factor(double most, double squares, double factor) {
  if (!(squares <= std::numeric_limits<double>::max())) return 0;
  double const share = most / (factor * std::sqrt(squares) + 1e-6);
  return share < 1 ? share * factor : factor;
}

}  // namespace core::math
