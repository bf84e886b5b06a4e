#pragma once
#include <limits>
#include "core/kernels.h"

namespace core::cuda {

/// A product of row-major matrices in terms of cuBLAS, which is column-major. A row-major matrix is
/// the transpose of the column-major matrix in the same memory, so cuBLAS computes the transpose of
/// c, op(b)ᵀ op(a)ᵀ: the operands are swapped, and the transpose flag of each is unchanged.
struct Product {
  /// Column-major size of the memory, without gaps: the leading dimension is `rows`.
  struct Matrix {
    int64_t rows, columns;
  };
  Matrix first, second, result;
  Transpose transpose_first, transpose_second;
};

/// Returns the product c := op(a) op(b).
/// Throws: Error for sizes of 2³¹ and more.
inline Product product_of(Shape const& a, Transpose ta, Shape const& b, Transpose tb,
                          Shape const& c) {
  auto const matrix = [](Shape const& shape) { return Product::Matrix{shape[1], shape[0]}; };
  for (Shape const* shape : {&a, &b, &c})
    for (int64_t const size : *shape)
      core::check(
          size <= std::numeric_limits<int32_t>::max(), "matmul: a size of ", a, " times ", b,
          " exceeds the largest size cuBLAS is known to support, 2147483647; split the matrix");
  return {matrix(b), matrix(a), matrix(c), tb, ta};
}

}  // namespace core::cuda
