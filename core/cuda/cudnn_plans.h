#pragma once
#include "core/cuda/cudnn_convolution.h"
#include "core/cuda/open.h"

namespace core::cuda {

using Notes = std::vector<cudnnBackendNumericalNote_t>;

/// Whether a convolution of this dtype may run on an engine that has these notes. Sums in less than
/// f32 and operands of less than their dtype are refused, but for TF32 where the options allow it;
/// so are, for the same reason, Winograd's larger tiles, whose rounding errors are an order of
/// magnitude above those of plain sums (Lavin and Gray 2015, table 4).
bool allowed(Notes const& notes, Dtype dtype, Options const& options);

/// How a convolution is run: an engine with its settings.
struct Plan {
  Descriptor config, plan;
  Notes notes;
  int64_t workspace = 0;  ///< bytes
};

struct Plans {
  std::vector<Plan> best_first;  ///< in cuDNN's opinion
  std::string refused;           ///< why the last of the others was not taken
};

/// Up to `most` plans of a convolution. There may be none.
Plans plans_of(Convolution const& convolution, Gpu const& gpu, Options const& options, size_t most);

}  // namespace core::cuda
