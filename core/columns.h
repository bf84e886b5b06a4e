#pragma once
#include "core/tensor.h"

namespace core {

/// Columns [begin, begin + count) of a matrix (rows, n), over its storage. A matrix converts to all
/// of its columns.
struct Columns {
  Tensor matrix;
  int64_t begin, count;

  Columns(Tensor const& matrix) : matrix(matrix), begin(0), count(matrix.size(1)) {}
  /// Throws: Error if the range is not within the matrix.
  Columns(Tensor const& matrix, int64_t begin, int64_t count)
      : matrix(matrix), begin(begin), count(count) {
    check(begin >= 0 && count >= 0 && begin + count <= matrix.size(1), "columns [", begin, ", ",
          begin + count, ") of a matrix ", matrix.shape());
  }

  Device& device() const { return matrix.device(); }
  Dtype dtype() const { return matrix.dtype(); }
  int64_t rows() const { return matrix.size(0); }
  int64_t pitch() const { return matrix.size(1); }  ///< elements from one row to the next
  bool dense() const { return count == pitch(); }
  bool empty() const { return rows() == 0 || count == 0; }

  /// Returns a pointer to the first of these columns in the first row.
  /// Throws: Error if T does not match dtype().
  template <class T>
  T* data() {
    return matrix.data<T>() + begin;
  }
  template <class T>
  T const* data() const {
    return matrix.data<T>() + begin;
  }
  std::byte const* raw() const {
    return matrix.raw() + begin * static_cast<int64_t>(size_of(dtype()));
  }
};

}  // namespace core
