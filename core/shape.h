#pragma once
#include <cstdint>
#include <ostream>
#include <vector>

namespace core {

/// Sizes of a dense row-major array, slowest axis first. Images are {N, H, W, Ch}.
struct Shape : std::vector<int64_t> {
  using vector::vector;
};

/// Number of elements of an array of this shape; 1 for a scalar {}.
inline int64_t count(Shape const& shape) {
  int64_t product = 1;
  for (int64_t const size : shape) product *= size;
  return product;
}

/// Prints the shape as "(2, 3, 5)".
inline std::ostream& operator<<(std::ostream& out, Shape const& shape) {
  out << '(';
  for (size_t i = 0; i < shape.size(); ++i) out << (i ? ", " : "") << shape[i];
  return out << ')';
}

}  // namespace core
