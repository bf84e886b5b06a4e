#include "core/cuda/cublas.h"
#include "core/cuda/cudnn.h"
#include "core/cuda/kernels.h"
#include "core/cuda/units.cuh"

namespace core::cuda {

CudaKernels::CudaKernels(StreamHandle stream, Options const& options)
    : stream_(stream),
      cudnn_(std::make_unique<CuDnn>(stream, options)),
      cublas_(std::make_unique<CuBlas>(stream, options)) {}
CudaKernels::~CudaKernels() = default;

void CudaKernels::matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb,
                         double alpha, double beta, Tensor& c) {
  if (c.count() == 0) return;
  if (a.empty()) return beta == 0 ? fill(0, c) : scale(beta, c);
  cublas_->matmul(a, ta, b, tb, alpha, beta, c);
}

namespace {

template <class Unit>
__global__ void copy_columns_kernel(int64_t count, int64_t columns, Unit const* x, int64_t x_row,
                                    Unit* y, int64_t y_row) {
  for (int64_t i = first_of_grid(); i < count; i += step_of_grid()) {
    int64_t const row = i / columns, column = i - row * columns;
    y[row * y_row + column] = x[row * x_row + column];
  }
}

}  // namespace

void CudaKernels::copy_columns(Tensor const& x, int64_t from, int64_t columns, Tensor& y,
                               int64_t to) {
  if (x.size(0) == 0 || columns == 0) return;
  auto const element = static_cast<int64_t>(size_of(x.dtype()));
  int64_t const bytes = columns * element, x_row = x.size(1) * element, y_row = y.size(1) * element;
  std::byte const* const source = x.raw() + from * element;
  std::byte* const target = y.raw() + to * element;
  visit_unit(static_cast<uint64_t>(bytes | x_row | y_row) | reinterpret_cast<uintptr_t>(source) |
                 reinterpret_cast<uintptr_t>(target),
             [&]<class Unit>() {
               constexpr int64_t unit = sizeof(Unit);
               int64_t const count = x.size(0) * (bytes / unit);
               launch(copy_columns_kernel<Unit>, grid_of(count), stream_, count, bytes / unit,
                      reinterpret_cast<Unit const*>(source), x_row / unit,
                      reinterpret_cast<Unit*>(target), y_row / unit);
             });
}

}  // namespace core::cuda
