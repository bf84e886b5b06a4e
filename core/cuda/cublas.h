#pragma once
#include <memory>
#include "core/cuda/open.h"
#include "core/cuda/stream_handle.h"
#include "core/kernels.h"

namespace core::cuda {

/// Products of tensors that have elements, by cuBLASLt: Kernels::matmul, in f32, bf16 (sums in f32,
/// result f32 or bf16) and f64. The algorithm of a shape is cuBLASLt's first choice among those
/// that repeat bit for bit; it is asked for once and kept. Throws Error with the shapes where there
/// is none.
class CuBlas {
 public:
  CuBlas(StreamHandle stream, Options const& options);
  ~CuBlas();

  void matmul(Tensor const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace core::cuda
