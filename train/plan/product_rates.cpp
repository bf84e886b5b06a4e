#include "train/plan/product_rates.h"
#include <algorithm>
#include <chrono>
#include "core/device.h"
#include "core/kernels.h"
#include "train/plan/measure.h"

namespace train {
namespace {

using core::Dtype;
using core::Tensor;
using core::Transpose;

constexpr int64_t side = 2048;  ///< size of the square product: 17 GFLOP, exceeds a core's cache
constexpr double budget = 0.3;  ///< measuring time per result, in seconds

/// Mean times in seconds of batches of calls: at least three, until the budget is spent. A batch
/// takes at least 2 ms, so that the latency of a wait does not count. Two warm-up calls come first.
template <class F>
std::vector<double> times(core::Device& device, F const& call) {
  using Clock = std::chrono::steady_clock;
  auto const timed = [&](int calls) {
    device.synchronize();
    auto const start = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    device.synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count() / calls;
  };
  timed(1);
  int const calls = static_cast<int>(std::clamp(2e-3 / timed(1), 1.0, 1000.0));
  std::vector<double> all;
  for (double spent = 0; std::ssize(all) < 3 || spent < budget; spent += calls * all.back())
    all.push_back(timed(calls));
  return all;
}

/// Tensor of normally distributed values, which avoids zeros and denormals.
Tensor operand(core::Device& device, core::Shape const& shape, Dtype dtype) {
  Tensor wide(device, shape, core::accumulator(dtype));
  device.kernels().random_normal({}, 0, 0, 0.1, wide);
  if (wide.dtype() == dtype) return wide;
  Tensor narrow(device, shape, dtype);
  device.kernels().convert(wide, narrow);
  return narrow;
}

double peak_of(core::Device& device, Dtype dtype) {
  auto const a = operand(device, {side, side}, dtype);
  Tensor c(device, a.shape(), core::accumulator(dtype));
  auto const all =
      times(device, [&] { device.kernels().matmul(a, Transpose::no, a, Transpose::no, 1, 0, c); });
  return 2.0 * side * side * side / *std::min_element(all.begin(), all.end());
}

}  // namespace

ProductRates measure_products(core::Device& device, Dtype dtype, int64_t batch, int64_t features,
                              int64_t chunk) {
  auto& kernels = device.kernels();
  auto const x = operand(device, {batch, features}, dtype);
  auto const w = operand(device, {chunk, features}, dtype);
  auto const g = operand(device, {batch, chunk}, dtype);
  auto const wide = core::accumulator(dtype);
  Tensor z(device, g.shape(), wide), dx(device, x.shape(), wide), dw(device, w.shape(), wide);
  kernels.fill(0, dx);
  auto const yes = Transpose::yes, no = Transpose::no;
  ProductRates rates;
  rates.logits = median(times(device, [&] { kernels.matmul(x, no, w, yes, 1, 0, z); }));
  rates.features = median(times(device, [&] { kernels.matmul(g, no, w, no, 1, 1, dx); }));
  rates.weights = median(times(device, [&] { kernels.matmul(g, yes, x, no, 1, 0, dw); }));
  rates.peak = peak_of(device, dtype);
  return rates;
}

double measure_bandwidth(core::Device& device) {
  auto const t = operand(device, {int64_t{1} << 26}, Dtype::f32);
  Tensor same = t;
  double const seconds = median(times(device, [&] { device.kernels().scale(1, same); }));
  return 2 * static_cast<double>(t.bytes()) / seconds;
}

}  // namespace train
