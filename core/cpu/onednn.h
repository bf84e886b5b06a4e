#pragma once
#include <dnnl.hpp>
#include <unordered_map>
#include <vector>
#include "core/kernels.h"

namespace core::cpu {

/// All that is asked of oneDNN (2.6): convolutions and products of f32 and bf16 tensors that have
/// elements. Sums are f32.
///
/// Activations stay plain NHWC. Weights are plain (Out, h, w, In) outside and repacked at each call
/// into the layout oneDNN likes best. Primitives are kept by shape. Calls come from one thread at a
/// time; the work spreads over the process's OpenMP threads, and repeats bit for bit.
class OneDnn {
 public:
  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y);
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Tensor& dx);
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw);
  void matmul(Tensor const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c);

 private:
  using Desc = dnnl::memory::desc;

  /// A primitive with the layouts it was made for. For a convolution, `w` is the plain layout of
  /// the weights or their gradient, `packed` the one it works on, and `repack` goes from the one to
  /// the other; it is empty where they are the same.
  struct Plan {
    dnnl::primitive run;
    Desc x, w, y, bias = {}, packed = {};
    dnnl::reorder repack = {};
  };

  /// What tells two primitives apart: kind, dtypes, sizes, options.
  using Key = std::vector<int64_t>;
  struct Hash {
    size_t operator()(Key const& key) const;
  };

  /// The plan of a key. `make` is called where there is none; Error where oneDNN cannot.
  template <class Make>
  Plan const& plan(Key const& key, Make make);

  dnnl::memory view(Desc const& desc, Tensor const& t) const;
  /// A convolution's weights in the layout it works on.
  dnnl::memory packed(Plan const& plan, Tensor const& w);
  /// Memory for packed weights, good until the next call.
  dnnl::memory room(Desc const& desc);

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::unordered_map<Key, Plan, Hash> plans_;
  dnnl::memory room_;  // as large as any packed weights have been
};

}  // namespace core::cpu
