#pragma once
#include <memory>
#include "core/cuda/open.h"
#include "core/cuda/stream_handle.h"
#include "core/kernels.h"

namespace core::cuda {

/// Convolutions of f32 and bf16 tensors that have elements, by cuDNN 9, NHWC, with sums in f32;
/// those of Kernels, with its shapes.
///
/// The fastest of cuDNN's plans for a shape is found by measurement at its first call, which waits
/// for the stream, and kept; with Options::deterministic, and while the stream is recorded, it is
/// cuDNN's own first choice. f32 is multiplied as f32, unless Options::tf32. cuDNN has no plans for
/// bf16 images with f32 weights or bias: the bias is rounded to bf16 before it is added, the
/// gradient of the weights after it was summed.
class CuDnn {
 public:
  CuDnn(StreamHandle stream, Options const& options);
  ~CuDnn();

  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y);
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Tensor& dx);
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace core::cuda
