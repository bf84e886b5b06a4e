#include "core/math/elementwise.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/math/accumulator.h"

namespace core::cpu {

void CpuKernels::fill(double value, Tensor& t) {
  visit(t.dtype(),
        [&]<class T>() { map(math::Constant<T>{static_cast<T>(value)}, t.count(), t.data<T>()); });
}

void CpuKernels::convert(Tensor const& from, Tensor& to) {
  visit_source(from.dtype(), [&]<class From>() {
    visit_floating(to.dtype(), [&]<class To>() {
      map(math::Convert<To>{}, to.count(), to.data<To>(), from.data<From>());
    });
  });
}

void CpuKernels::scale(double factor, Tensor& t) {
  visit_floating(t.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    T* const out = t.data<T>();
    map(math::Scale<Acc>{static_cast<Acc>(factor)}, t.count(), out, out);
  });
}

void CpuKernels::accumulate(double alpha, Tensor const& x, Tensor& y) {
  visit_floating(x.dtype(), [&]<class X>() {
    visit_floating(y.dtype(), [&]<class Y>() {
      using Acc = std::common_type_t<math::Accumulator<X>, math::Accumulator<Y>>;
      Y* const out = y.data<Y>();
      map(math::Axpy<Acc>{static_cast<Acc>(alpha)}, y.count(), out, x.data<X>(), out);
    });
  });
}

void CpuKernels::add(Tensor const& x, Tensor const& y, Tensor& z) {
  visit_floating(z.dtype(), [&]<class T>() {
    map(math::Add{}, z.count(), z.data<T>(), x.data<T>(), y.data<T>());
  });
}

void CpuKernels::relu(Tensor const& x, Tensor& y) {
  visit_floating(y.dtype(),
                 [&]<class T>() { map(math::Relu{}, y.count(), y.data<T>(), x.data<T>()); });
}

void CpuKernels::relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) {
  visit_floating(dx.dtype(), [&]<class T>() {
    map(math::ReluBackward{}, dx.count(), dx.data<T>(), y.data<T>(), dy.data<T>());
  });
}

void CpuKernels::prelu(Tensor const& x, Tensor const& slope, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    for_elements(
        rows(x), channels(x),
        [in = x.data<T>(), s = slope.data<Acc>(), out = y.data<T>()](int64_t i, int64_t c) {
          out[i] = T(math::prelu_slope<Acc>(in[i], s[c]) * in[i]);
        });
  });
}

void CpuKernels::prelu_backward(Tensor const& x, Tensor const& slope, Tensor const& dy, Tensor& dx,
                                Tensor& dslope) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    int64_t const width = channels(x);
    T const *const in = x.data<T>(), *const grad = dy.data<T>();
    for_elements(rows(x), width,
                 [=, s = slope.data<Acc>(), out = dx.data<T>()](int64_t i, int64_t c) {
                   out[i] = T(math::prelu_slope<Acc>(in[i], s[c]) * grad[i]);
                 });
    auto const add_tile = [=](int64_t begin, int64_t end, Acc* sums) {
      for (int64_t at = begin * width; at < end * width; at += width) {
        simd(0, width, [=](int64_t c) {
          sums[c] += math::prelu_slope_gradient<Acc>(in[at + c], grad[at + c]);
        });
      }
    };
    sum_over_rows(x.device(), rows(x), width, add_tile, dslope.data<Acc>());
  });
}

}  // namespace core::cpu
