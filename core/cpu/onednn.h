#pragma once
#include <dnnl.hpp>
#include <unordered_map>
#include <vector>
#include "core/kernels.h"

namespace core::cpu {

/// True if oneDNN has bf16 kernels for this processor.
bool onednn_has_bf16();

/// Interface to oneDNN (2.6): convolutions and matrix products of nonempty f32 and bf16 tensors.
/// Sums are f32. On a processor without AVX-512, for which oneDNN has no bf16 kernels, bf16
/// operands are converted to f32 and the result is rounded: the same arithmetic, slower than f32.
///
/// Activations are plain NHWC. Weights are passed as plain (Out, h, w, In) and are reordered at
/// each call to the layout that oneDNN prefers. Primitives are cached by shape. Calls must come
/// from one thread at a time; the work runs on the process's OpenMP threads, and is bitwise
/// reproducible.
class OneDnn {
 public:
  void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor& y);
  /// Store::add: oneDNN's gradients of images do not add; the sum is a pass of its own.
  void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                             int64_t groups, Store store, Tensor& dx);
  void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                               int64_t groups, Tensor& dw);
  void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
              double beta, Tensor& c);

 private:
  using Desc = dnnl::memory::desc;

  /// A primitive and the layouts it was created for. For a convolution, `w` is the plain layout of
  /// the weights or of their gradient, `packed` is the layout that the primitive uses, and `repack`
  /// converts between the two; it is empty if they are equal.
  struct Plan {
    dnnl::primitive run;
    Desc x, w, y, bias = {}, packed = {};
    dnnl::reorder repack = {};
  };

  /// Identifies a primitive: kind, dtypes, sizes, options.
  using Key = std::vector<int64_t>;
  struct Hash {
    size_t operator()(Key const& key) const;
  };

  /// Returns the cached plan of a key; calls `make` if there is none.
  /// Throws: Error if oneDNN does not support it.
  template <class Make>
  Plan const& plan(Key const& key, Make make);

  /// True if operands of this dtype must be converted to f32.
  bool emulated(Dtype dtype) const { return dtype == Dtype::bf16 && !has_bf16_; }

  dnnl::memory view(Desc const& desc, Tensor const& t) const;
  dnnl::memory view(Desc const& desc, std::byte const* data) const;
  /// Returns a convolution's weights in the layout that the primitive uses.
  dnnl::memory packed(Plan const& plan, Tensor const& w);
  /// Returns memory for packed weights, valid until the next call.
  dnnl::memory room(Desc const& desc);

  bool has_bf16_ = onednn_has_bf16();
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::unordered_map<Key, Plan, Hash> plans_;
  dnnl::memory room_;  // buffer that grows to the largest packed weights so far
};

}  // namespace core::cpu
