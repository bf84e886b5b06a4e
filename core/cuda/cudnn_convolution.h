#pragma once
#include "core/cuda/cudnn_graph.h"
#include "core/kernels.h"

namespace core::cuda {

enum class Pass { forward, backward_input, backward_weights };

/// Identifies a convolution of Kernels. Each of x, w and y is a tensor or its gradient; one of the
/// three is the result. All have the same dtype, including the bias: cuDNN (9.19) has no plan for
/// bf16 images with an f32 bias or an f32 gradient of the weights. The number of groups follows
/// from the channels of x and w.
struct Convolution {
  Pass pass;
  Dtype dtype;    ///< f32 or bf16
  Shape x, w, y;  ///< (N, H, W, Ch), (Out, h, w, Ch / groups), (N, H', W', Out)
  Window window;
  bool bias = false;             ///< forward: (Out) is added to y
  Store store = Store::replace;  ///< backward_input: whether x is added to
  int64_t alignment = 16;        ///< alignment of the least aligned operand in bytes, at most 16

  /// Cache key: equal for convolutions that can share a plan.
  Ints key() const;
};

/// Unique ids of operands in a graph and in its variant pack.
enum Operand : int64_t { operand_x = 1, operand_w, operand_y, operand_bias };

/// Descriptor of a tensor (N, H, W, Ch), not yet finalized.
Descriptor channels_last(int64_t name, Dtype dtype, Shape const& shape, int64_t alignment);

/// Operation graph of the convolution, with sums in f32.
Descriptor graph_of(Convolution const& convolution, Gpu const& gpu);

/// Prints pass, dtype, shapes and window, for error messages.
std::ostream& operator<<(std::ostream& out, Convolution const& convolution);

}  // namespace core::cuda
