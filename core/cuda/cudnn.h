#pragma once
#include <memory>
#include "core/cuda/open.h"
#include "core/cuda/stream_handle.h"
#include "core/kernels.h"

namespace core::cuda {

/// Convolutions of nonempty f32 and bf16 tensors by cuDNN 9, NHWC, with sums in f32. Shapes are
/// those of Kernels.
///
/// At the first call with a shape, the fastest of cuDNN's plans is chosen by measurement, which
/// waits for the stream, and is cached. With Options::deterministic, and while the stream is being
/// captured, the first choice of cuDNN's heuristic is used instead. f32 is multiplied as f32,
/// unless Options::tf32. cuDNN has no plans for bf16 images with f32 weights or bias: the bias is
/// rounded to bf16 before it is added, the gradient of the weights after it was summed.
/// Throws: Error with the shapes if cuDNN has no plan or the execution fails.
class CuDnn {
 public:
  CuDnn(StreamHandle stream, Options const& options);
  ~CuDnn();

  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y);
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Store store, Tensor& dx);
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace core::cuda
