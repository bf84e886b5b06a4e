#pragma once
#include <memory>
#include "core/cuda/open.h"
#include "core/cuda/stream_handle.h"
#include "core/kernels.h"

namespace core::cuda {

/// Matrix products of nonempty tensors by cuBLASLt: Kernels::matmul in f32, bf16 (sums in f32,
/// result f32 or bf16) and f64. For each shape, the algorithm is chosen once, among the bitwise-
/// reproducible ones that cuBLASLt's heuristic suggests: the fastest of the first twelve or, with
/// Options::deterministic and in a capture, the first. Ranks may choose differently.
/// Throws: Error with the shapes if there is no algorithm.
class CuBlas {
 public:
  CuBlas(StreamHandle stream, Options const& options);
  ~CuBlas();

  void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace core::cuda
