#pragma once
#include "core/tensor.h"

namespace train {

/// Times in seconds of the matrix products of a head on one chunk of n classes, and the peak rate
/// of a large product. Each product is measured in isolation, repeatedly on the same operands,
/// which may stay in the cache. Medians of several calls.
struct ProductRates {
  double logits = 0;    ///< Z (B, n) = X Wᵀ
  double features = 0;  ///< dX (B, D) += G W
  double weights = 0;   ///< dW (n, D) = Gᵀ X
  double peak = 0;      ///< FLOP/s of a square product, from the fastest call
};

/// Measures the products for `batch` rows (B), `features` (D) and a `chunk` of n classes. Operands
/// have `dtype`, results core::accumulator(dtype).
ProductRates measure_products(core::Device& device, core::Dtype dtype, int64_t batch,
                              int64_t features, int64_t chunk);

/// Measures the memory bandwidth of a device in bytes/s, reads plus writes, by scaling in place an
/// array of 256 MiB, larger than any cache. Median of several calls.
double measure_bandwidth(core::Device& device);

}  // namespace train
