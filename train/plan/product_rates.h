#pragma once
#include "core/tensor.h"

namespace train {

/// Seconds of the products of a head on one chunk of n classes, each by itself with its operands
/// where the last call left them, and what a large product reaches. Medians of several calls.
struct ProductRates {
  double logits = 0;    ///< Z (B, n) = X Wᵀ
  double features = 0;  ///< dX (B, D) += G W
  double weights = 0;   ///< dW (n, D) = Gᵀ X
  double peak = 0;      ///< FLOP/s of a square product, by the fastest call
};

/// Operands are of `dtype`, results Wide.
ProductRates measure_products(core::Device& device, core::Dtype dtype, int64_t batch,
                              int64_t features, int64_t chunk);

/// Bytes a second that go to a device's memory and come from it, by an array that is scaled in
/// place and larger than any cache. Median of several calls.
double measure_bandwidth(core::Device& device);

}  // namespace train
