#include <cstring>
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/math/accumulator.h"
#include "core/math/elementwise.h"

/// Gather and scatter of rows by index, and row scaling.
namespace core::cpu {
namespace {

/// Bytes and elements of a row; 0 if there are no rows.
size_t row_bytes(Tensor const& t) {
  return t.size(0) == 0 ? 0 : t.bytes() / static_cast<size_t>(t.size(0));
}
int64_t row_width(Tensor const& t) { return t.size(0) == 0 ? 0 : t.count() / t.size(0); }

/// Calls f(r) for every row of t, on all threads.
template <class F>
void for_each_row(Tensor const& t, F const& f) {
  for_rows(t.size(0), row_width(t), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace

void CpuKernels::gather_rows(Tensor const& x, Tensor const& indices, int64_t first, Tensor& y) {
  int64_t const* const from = indices.data<int64_t>();
  size_t const bytes = row_bytes(y);
  if (bytes == 0) return;
  for_each_row(y, [=, rows = x.size(0), source = x.raw(), target = y.raw()](int64_t r) {
    std::byte* const row = target + static_cast<size_t>(r) * bytes;
    int64_t const place = from[r] - first;
    if (place >= 0 && place < rows)
      std::memcpy(row, source + static_cast<size_t>(place) * bytes, bytes);
    else
      std::memset(row, 0, bytes);
  });
}

void CpuKernels::scatter_rows(Tensor const& x, Tensor const& indices, Tensor& y) {
  int64_t const* const to = indices.data<int64_t>();
  size_t const bytes = row_bytes(x);
  if (bytes == 0) return;
  for_each_row(x, [=, rows = y.size(0), source = x.raw(), target = y.raw()](int64_t r) {
    if (to[r] < 0 || to[r] >= rows) return;
    std::memcpy(target + static_cast<size_t>(to[r]) * bytes,
                source + static_cast<size_t>(r) * bytes, bytes);
  });
}

void CpuKernels::scale_rows(double alpha, Tensor const& factors, Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    int64_t const width = row_width(x);
    for_each_row(x, [=, factor = factors.data<Acc>(), data = x.data<T>()](int64_t r) {
      math::Scale<Acc> const scale{static_cast<Acc>(alpha) * factor[r]};
      simd(r * width, (r + 1) * width, [=](int64_t i) { data[i] = scale(data[i]); });
    });
  });
}

void CpuKernels::accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    int64_t const width = row_width(x);
    for_each_row(
        x, [=, factor = factors.data<Acc>(), from = x.data<T>(), to = y.data<Acc>()](int64_t r) {
          math::Axpy<Acc> const add{factor[r]};
          simd(r * width, (r + 1) * width, [=](int64_t i) { to[i] = add(from[i], to[i]); });
        });
  });
}

}  // namespace core::cpu
