#pragma once
#include "core/cuda/cudnn_convolution.h"
#include "core/cuda/open.h"

namespace core::cuda {

using Notes = std::vector<cudnnBackendNumericalNote_t>;

/// Returns true if a convolution of this dtype may run on an engine with these numerical notes.
/// Rejected are sums in less than f32 and operands rounded to less than their dtype, except TF32 if
/// the options allow it. The larger Winograd tiles are rejected for the same reason: their rounding
/// errors are an order of magnitude above those of plain sums (Lavin and Gray 2015, table 4).
bool allowed(Notes const& notes, Dtype dtype, Options const& options);

/// Execution plan of a convolution: an engine with its settings.
struct Plan {
  Descriptor config, plan;
  Notes notes;
  int64_t workspace = 0;  ///< workspace size in bytes
};

struct Plans {
  std::vector<Plan> best_first;  ///< accepted plans, in the order of cuDNN's heuristic
  std::string refused;           ///< reason why the last rejected plan was rejected
};

/// Returns up to `most` plans of a convolution, possibly none.
Plans plans_of(Convolution const& convolution, Gpu const& gpu, Options const& options, size_t most);

}  // namespace core::cuda
