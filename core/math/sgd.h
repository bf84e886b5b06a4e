#pragma once
#include "core/math/host_device.h"

namespace core::math {

/// PyTorch's SGD with dampening 0, for one weight; see core::SgdStep.
template <class W>
struct Sgd {
  W rate, momentum, decay;
  bool nesterov;

  /// Without momentum.
  COLONNADE_HD void operator()(W g, W& w) const { w -= rate * (g + decay * w); }

  COLONNADE_HD void operator()(W g, W& w, W& velocity) const {
    W const slope = g + decay * w;
    velocity = momentum * velocity + slope;
    w -= rate * (nesterov ? slope + momentum * velocity : velocity);
  }
};

}  // namespace core::math
