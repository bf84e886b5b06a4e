#pragma once
#include "core/dry/device.h"

namespace train {

/// Predicts the time of a kernel in seconds on a GPU with these peaks, in FLOP/s and bytes/s; 0:
/// unknown, takes no time. A model, not a measurement: a fixed cost per kernel; products by the
/// number of their tiles and of the waves in which these run; a share of the peaks. The same as
/// bench/gpu_kernels.py with its central assumptions.
double gpu_kernel_time(core::dry::Work const& work, double flops, double memory);

}  // namespace train
