// CPU implementations of cuDNN's and cuBLAS's operations: a simulated GPU has neither library.
#include "core/cpu/kernels.h"
#include "core/cuda/cublas.h"
#include "core/cuda/cudnn.h"

namespace core::cuda {

struct CuDnn::State {
  cpu::CpuKernels kernels;
};

CuDnn::CuDnn(StreamHandle, Options const&) : state_(std::make_unique<State>()) {}
CuDnn::~CuDnn() = default;

void CuDnn::conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                   int64_t groups, Tensor& y) {
  state_->kernels.conv2d(x, w, bias, window, groups, y);
}
void CuDnn::conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                                  int64_t groups, Store store, Tensor& dx) {
  state_->kernels.conv2d_backward_input(dy, w, window, groups, store, dx);
}
void CuDnn::conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                    int64_t groups, Tensor& dw) {
  state_->kernels.conv2d_backward_weights(x, dy, window, groups, dw);
}

struct CuBlas::State {
  cpu::CpuKernels kernels;
};

CuBlas::CuBlas(StreamHandle, Options const&) : state_(std::make_unique<State>()) {}
CuBlas::~CuBlas() = default;

void CuBlas::matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                    double beta, Tensor& c) {
  state_->kernels.matmul(a, ta, b, tb, alpha, beta, c);
}

}  // namespace core::cuda
