#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/cuda/units.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/elementwise.h"

/// Gather and scatter of rows by index, and row scaling.
namespace core::cuda {
namespace {

using math::Accumulator;

/// Rows of `width` units, and the index of the corresponding row of the other array.
struct Places {
  int64_t count, width;  ///< total number of units, units of a row
  int64_t const* indices;
  int64_t first;  ///< index of the other array's row 0
  int64_t rows;   ///< number of rows of the other array

  /// Returns the unit of the other array that corresponds to unit i; -1 if there is no such row.
  __device__ int64_t operator()(int64_t i) const {
    int64_t const row = i / width, place = indices[row] - first;
    return place < 0 || place >= rows ? -1 : place * width + (i - row * width);
  }
};

template <class Unit>
__global__ void gather_kernel(Places at, Unit const* x, Unit* y) {
  for (int64_t i = first_of_grid(); i < at.count; i += step_of_grid()) {
    int64_t const from = at(i);
    y[i] = from < 0 ? Unit{} : x[from];
  }
}

template <class Unit>
__global__ void scatter_kernel(Places at, Unit const* x, Unit* y) {
  for (int64_t i = first_of_grid(); i < at.count; i += step_of_grid()) {
    int64_t const to = at(i);
    if (to >= 0) y[to] = x[i];
  }
}

/// Calls f(places, x, y) with both arrays in units; `listed` is the array whose rows have indices.
template <class F>
void in_units(Tensor const& listed, Tensor const& indices, int64_t first, Tensor const& x,
              Tensor& y, F const& f) {
  if (listed.count() == 0) return;
  auto const bytes = static_cast<int64_t>(listed.bytes()) / listed.size(0);
  auto const* const source = x.raw();
  auto* const target = y.raw();
  visit_unit(static_cast<uint64_t>(bytes) | reinterpret_cast<uintptr_t>(source) |
                 reinterpret_cast<uintptr_t>(target),
             [&]<class Unit>() {
               int64_t const width = bytes / static_cast<int64_t>(sizeof(Unit));
               int64_t const others = &listed == &x ? y.size(0) : x.size(0);
               f(Places{listed.size(0) * width, width, indices.data<int64_t>(), first, others},
                 reinterpret_cast<Unit const*>(source), reinterpret_cast<Unit*>(target));
             });
}

/// Functors that return the operation of a row.
template <class Acc>
struct ScaleRow {
  Acc alpha;
  Acc const* factors;
  __device__ math::Scale<Acc> operator()(int64_t row) const { return {alpha * factors[row]}; }
};
template <class Acc>
struct AddRow {
  Acc const* factors;
  __device__ math::Axpy<Acc> operator()(int64_t row) const { return {factors[row]}; }
};

template <int n, class F, class Out, class... In>
__global__ void each_row_kernel(F f, int64_t packs, int64_t packs_of_row, Out* out,
                                In const*... in) {
  for (int64_t i = first_of_grid(); i < packs; i += step_of_grid()) {
    auto const of_row = f(i / packs_of_row);
    map_pack<n, decltype(of_row), Out, In...>(of_row, out, i, load<n>(in, i)...);
  }
}

/// out[r, .] := f(r)(in[r, .]...).
template <class F, class Out, class... In>
void map_each_row(StreamHandle stream, F const& f, Tensor const& like, Out* out, In const*... in) {
  if (like.count() == 0) return;
  int64_t const width = like.count() / like.size(0);
  constexpr int most = pack_size<Out, In...>;
  auto const run = [&]<int n>() {
    int64_t const packs = like.count() / n;
    launch(each_row_kernel<n, F, Out, In...>, grid_of(packs), stream, f, packs, width / n, out,
           in...);
  };
  rows_pack<most>(width, out, in...) ? run.template operator()<most>()
                                     : run.template operator()<1>();
}

}  // namespace

void CudaKernels::gather_rows(Tensor const& x, Tensor const& indices, int64_t first, Tensor& y) {
  in_units(y, indices, first, x, y, [&]<class Unit>(Places const& at, Unit const* from, Unit* to) {
    launch(gather_kernel<Unit>, grid_of(at.count), stream_, at, from, to);
  });
}

void CudaKernels::scatter_rows(Tensor const& x, Tensor const& indices, Tensor& y) {
  in_units(x, indices, 0, x, y, [&]<class Unit>(Places const& at, Unit const* from, Unit* to) {
    launch(scatter_kernel<Unit>, grid_of(at.count), stream_, at, from, to);
  });
}

void CudaKernels::scale_rows(double alpha, Tensor const& factors, Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    T* const data = x.data<T>();
    map_each_row(stream_, ScaleRow<Acc>{static_cast<Acc>(alpha), factors.data<Acc>()}, x, data,
                 static_cast<T const*>(data));
  });
}

void CudaKernels::accumulate_rows(Tensor const& factors, Tensor const& x, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    Acc* const out = y.data<Acc>();
    map_each_row(stream_, AddRow<Acc>{factors.data<Acc>()}, x, out, x.data<T>(),
                 static_cast<Acc const*>(out));
  });
}

}  // namespace core::cuda
