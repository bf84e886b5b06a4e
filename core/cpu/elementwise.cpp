#include "core/math/elementwise.h"
#include "core/cpu/kernels.h"
#include "core/cpu/parallel.h"
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

}  // namespace core::cpu
