#pragma once
#include <limits>
#include "core/kernels.h"

namespace core::cuda {

/// A product of row-major matrices in cuBLAS's words. It counts in columns, and a row-major matrix
/// is the transpose of the column-major one in the same memory; so it is asked for the transpose of
/// c, op(b)ᵀ op(a)ᵀ: the operands change places, and each stays transposed as it was.
struct Product {
  /// Of the memory read column by column, without gaps: the columns are `rows` apart.
  struct Matrix {
    int64_t rows, columns;
  };
  Matrix first, second, result;
  Transpose transpose_first, transpose_second;
};

/// c := op(a) op(b). Throws Error for sizes of 2³¹ and more.
inline Product product_of(Shape const& a, Transpose ta, Shape const& b, Transpose tb,
                          Shape const& c) {
  auto const matrix = [](Shape const& shape) { return Product::Matrix{shape[1], shape[0]}; };
  for (Shape const* shape : {&a, &b, &c})
    for (int64_t const size : *shape)
      core::check(size <= std::numeric_limits<int32_t>::max(), "matmul: a size of ", a, " times ",
                  b, " is more than cuBLAS is known to take, 2147483647; split the matrix");
  return {matrix(b), matrix(a), matrix(c), tb, ta};
}

}  // namespace core::cuda
