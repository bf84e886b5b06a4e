#pragma once
#include <limits>
#include "core/kernels.h"

namespace core::cuda {

/// A product of row-major matrices in terms of cuBLAS, which is column-major. A row-major matrix is
/// the transpose of the column-major matrix in the same memory, so cuBLAS computes the transpose of
/// c, op(b)ᵀ op(a)ᵀ: the operands are swapped, and the transpose flag of each is unchanged.
struct Product {
  /// Column-major size of the memory; `leading`: elements from one column to the next.
  struct Matrix {
    int64_t rows, columns, leading;
  };
  Matrix first, second, result;
  Transpose transpose_first, transpose_second;
};

/// Returns the product c := op(a) op(b). a_pitch: elements from one row of `a` to the next.
/// Throws: Error for sizes of 2³¹ and more.
inline Product product_of(Shape const& a, int64_t a_pitch, Transpose ta, Shape const& b,
                          Transpose tb, Shape const& c) {
  auto const matrix = [](Shape const& shape) {
    return Product::Matrix{shape[1], shape[0], shape[1]};
  };
  for (Shape const* shape : {&a, &b, &c})
    for (int64_t const size : *shape)
      core::check(
          size <= std::numeric_limits<int32_t>::max(), "matmul: a size of ", a, " times ", b,
          " exceeds the largest size cuBLAS is known to support, 2147483647; split the matrix");
  return {matrix(b), {a[1], a[0], a_pitch}, matrix(c), tb, ta};
}

}  // namespace core::cuda
