#include "core/dry/kernels.h"

namespace core::dry {
namespace {

/// FLOPs of a convolution: two per weight and position of the output image (N, H', W', Out). w
/// (Out, h, w, Ch / groups).
double convolution(Tensor const& w, Tensor const& y) {
  auto const indices = static_cast<double>(y.count()) / static_cast<double>(channels(y));
  return 2 * indices * static_cast<double>(w.count());
}

}  // namespace

void DryKernels::conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const&,
                        int64_t, Tensor& y) {
  device_.add_work({convolution(w, y)}, {x, w, bias, y});
}

void DryKernels::conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const&, int64_t,
                                       Store store, Tensor& dx) {
  Tensor const old = before(store, dx);
  device_.add_work({convolution(w, dy)}, {dy, w, old, dx});
}

void DryKernels::conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const&, int64_t,
                                         Tensor& dw) {
  device_.add_work({convolution(dw, dy)}, {x, dy, dw});
}

void DryKernels::matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose, double, double,
                        Tensor& c) {
  int64_t const depth = ta == Transpose::no ? a.count : a.rows();
  double const flops = 2 * static_cast<double>(depth) * static_cast<double>(c.count());
  device_.add_work({flops, 0, c.size(0), c.size(1), depth}, {a, b, c});
}

void DryKernels::softmax_exponentials(LogitRule const&, ClassChunk const&, Tensor const& labels,
                                      Tensor const& z, Tensor const& reference, Tensor& stats,
                                      Tensor& tiles, Columns& e) {
  if (!e.empty()) device_.assign(e.matrix, "exponentials");
  moves(labels, z, reference, stats, tiles, e);
}

void DryKernels::update(UpdateRule const&, int64_t, Tensor const& trust, Tensor const& g,
                        UpdateState& state) {
  auto const& [w, first, second, copy] = state;
  moves(trust, g, w, w, first, first, second, second, copy);
}

}  // namespace core::dry
