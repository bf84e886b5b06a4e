#pragma once
#include <memory>
#include "core/cuda/open.h"
#include "core/cuda/stream_handle.h"
#include "core/kernels.h"

namespace core::cuda {

/// Matrix products of nonempty tensors by cuBLASLt: Kernels::matmul in f32, bf16 (sums in f32,
/// result f32 or bf16) and f64. For each shape, the algorithm is the first result of cuBLASLt's
/// heuristic among the bitwise-reproducible ones; it is queried once and cached.
/// Throws: Error with the shapes if there is no algorithm.
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
