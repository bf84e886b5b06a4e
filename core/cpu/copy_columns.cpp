#include <cstring>
#include "core/cpu/kernels.h"

namespace core::cpu {

void CpuKernels::copy_columns(Tensor const& x, int64_t from, int64_t columns, Tensor& y,
                              int64_t to) {
  size_t const element = size_of(x.dtype());
  auto const bytes = [&](int64_t elements) { return static_cast<size_t>(elements) * element; };
  size_t const x_row = bytes(x.size(1)), y_row = bytes(y.size(1));
  auto const* source = x.raw() + bytes(from);
  auto* target = y.raw() + bytes(to);
  if (columns == 0) return;
  for (int64_t r = 0; r < x.size(0); ++r, source += x_row, target += y_row) {
    std::memcpy(target, source, bytes(columns));
  }
}

}  // namespace core::cpu
