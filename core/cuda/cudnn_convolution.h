#pragma once
#include "core/cuda/cudnn_graph.h"
#include "core/kernels.h"

namespace core::cuda {

enum class Pass { forward, backward_input, backward_weights };

/// What tells two convolutions of Kernels apart. x, w and y stand for their gradients too: one of
/// the three is the result. All are of one dtype, the bias too: cuDNN (9.19) has no plan for bf16
/// images with an f32 bias, or an f32 gradient of the weights. The number of groups shows in the
/// channels of x and w.
struct Convolution {
  Pass pass;
  Dtype dtype;    ///< f32 or bf16
  Shape x, w, y;  ///< (N, H, W, Ch), (Out, h, w, Ch / groups), (N, H', W', Out)
  Window window;
  bool bias = false;       ///< forward: (Out) is added to y
  int64_t alignment = 16;  ///< bytes; of the least aligned operand, 16 at most

  /// Equal for convolutions that can share a plan.
  Ints key() const;
};

/// Names of operands in a graph and for its execution.
enum Operand : int64_t { operand_x = 1, operand_w, operand_y, operand_bias };

/// A tensor (N, H, W, Ch), to be finalised.
Descriptor channels_last(int64_t name, Dtype dtype, Shape const& shape, int64_t alignment);

/// The convolution as cuDNN's operations, with sums in f32.
Descriptor graph_of(Convolution const& convolution, Gpu const& gpu);

/// For messages: pass, dtype, shapes and window.
std::ostream& operator<<(std::ostream& out, Convolution const& convolution);

}  // namespace core::cuda
