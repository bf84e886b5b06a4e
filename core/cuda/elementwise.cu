#include "core/cuda/kernels.h"
#include "core/cuda/map.cuh"
#include "core/math/accumulator.h"
#include "core/math/elementwise.h"

namespace core::cuda {

void CudaKernels::fill(double value, Tensor& t) {
  visit(t.dtype(), [&]<class T>() {
    map(stream_, math::Constant<T>{static_cast<T>(value)}, t.count(), t.data<T>());
  });
}

void CudaKernels::convert(Tensor const& from, Tensor& to) {
  visit_source(from.dtype(), [&]<class From>() {
    visit_floating(to.dtype(), [&]<class To>() {
      map(stream_, math::Convert<To>{}, to.count(), to.data<To>(), from.data<From>());
    });
  });
}

void CudaKernels::scale(double factor, Tensor& t) {
  visit_floating(t.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    T* const out = t.data<T>();
    map(stream_, math::Scale<Acc>{static_cast<Acc>(factor)}, t.count(), out,
        static_cast<T const*>(out));
  });
}

void CudaKernels::accumulate(double alpha, Tensor const& x, Tensor& y) {
  visit_floating(x.dtype(), [&]<class X>() {
    visit_floating(y.dtype(), [&]<class Y>() {
      using Acc = std::common_type_t<math::Accumulator<X>, math::Accumulator<Y>>;
      Y* const out = y.data<Y>();
      map(stream_, math::Axpy<Acc>{static_cast<Acc>(alpha)}, y.count(), out, x.data<X>(),
          static_cast<Y const*>(out));
    });
  });
}

void CudaKernels::add(Tensor const& x, Tensor const& y, Tensor& z) {
  visit_floating(z.dtype(), [&]<class T>() {
    map(stream_, math::Add{}, z.count(), z.data<T>(), x.data<T>(), y.data<T>());
  });
}

void CudaKernels::relu(Tensor const& x, Tensor& y) {
  visit_floating(y.dtype(), [&]<class T>() {
    map(stream_, math::Relu{}, y.count(), y.data<T>(), x.data<T>());
  });
}

void CudaKernels::relu_backward(Tensor const& y, Tensor const& dy, Tensor& dx) {
  visit_floating(dx.dtype(), [&]<class T>() {
    map(stream_, math::ReluBackward{}, dx.count(), dx.data<T>(), y.data<T>(), dy.data<T>());
  });
}

}  // namespace core::cuda
