// Speed of convolutions on a device, through the kernels that training calls.
//
//      OMP_NUM_THREADS=1 build/release/bench/conv [auto | cpu | cuda [seconds per figure, default
//      0.1]]
//
//  Prints one line per convolution of common residual networks: GFLOP/s of forward, backward to the
//  input and backward to the weights (a multiply-add is 2 FLOP; the fastest calls count). Each
//  figure is followed by the share of the call that does not scale with the batch: repacking
//  weights, selecting the primitive, an underutilized GPU. A GPU gets larger batches than the CPU.
#include <cstdio>
#include "bench/timing.h"
#include "core/kernels.h"

using namespace core;

namespace {

struct Convolution {
  int64_t batch, size, in, out, kernel, stride;

  Window window() const {
    return {
        .size = {kernel, kernel}, .stride = {stride, stride}, .padding = {kernel / 2, kernel / 2}};
  }
  int64_t out_size() const { return window().out_height(size); }
  double flop() const {
    return 2.0 * static_cast<double>(batch * out_size() * out_size() * out * kernel * kernel * in);
  }
};

/// The stem and stages of a network for 32 x 32 images, then of one for 224 x 224.
constexpr Convolution convolutions[] = {
    {128, 32, 1, 32, 3, 1},    {128, 32, 3, 64, 3, 1},    {128, 32, 32, 32, 3, 1},
    {128, 32, 64, 64, 3, 1},   {128, 32, 64, 128, 3, 2},  {128, 32, 64, 128, 1, 2},
    {128, 16, 64, 64, 3, 1},   {128, 16, 128, 128, 3, 1}, {128, 8, 128, 128, 3, 1},
    {128, 8, 256, 256, 3, 1},  {128, 4, 256, 256, 3, 1},  {128, 4, 512, 512, 3, 1},
    {16, 224, 3, 64, 7, 2},    {16, 56, 64, 64, 3, 1},    {16, 56, 256, 64, 1, 1},
    {16, 14, 256, 1024, 1, 1}, {16, 14, 256, 256, 3, 1},
};

/// Time per call of the three passes, in seconds.
struct Times {
  double forward, backward_input, backward_weights;
};

Times measure(Device& device, Convolution const& c, Dtype dtype, double budget) {
  Kernels& kernels = device.kernels();
  Window const window = c.window();
  auto const ones = [&](Shape shape, Dtype type) {
    Tensor t(device, std::move(shape), type);
    kernels.fill(1, t);
    return t;
  };
  Tensor x = ones({c.batch, c.size, c.size, c.in}, dtype);
  Tensor y = ones({c.batch, c.out_size(), c.out_size(), c.out}, dtype);
  Tensor const w = ones({c.out, c.kernel, c.kernel, c.in}, dtype);
  Tensor dw = ones(w.shape(), accumulator(dtype));
  return {
      bench::fastest(device, budget, [&] { kernels.conv2d(x, w, {}, window, 1, y); }),
      bench::fastest(device, budget,
                     [&] { kernels.conv2d_backward_input(y, w, window, 1, Store::replace, x); }),
      bench::fastest(device, budget,
                     [&] { kernels.conv2d_backward_weights(x, y, window, 1, dw); })};
}

/// Prints GFLOP/s, and the fixed share of the time: the excess of a half batch over half the time.
void print(Convolution const& c, double whole, double half) {
  double const fixed = std::clamp((2 * half - whole) / whole, 0.0, 1.0);
  std::printf("  %6.0f %3.0f %%", c.flop() / whole * 1e-9, 100 * fixed);
}

void report(Device& device, Convolution const& c, Dtype dtype, double budget) {
  Convolution small = c;
  small.batch /= 2;
  Times const whole = measure(device, c, dtype, budget);
  Times const half = measure(device, small, dtype, budget);
  std::printf("%-4s %4ld x %3ld x %3ld  %4ld -> %4ld  %ld x %ld / %ld", name(dtype), c.batch,
              c.size, c.size, c.in, c.out, c.kernel, c.kernel, c.stride);
  print(c, whole.forward, half.forward);
  print(c, whole.backward_input, half.backward_input);
  print(c, whole.backward_weights, half.backward_weights);
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) try {
  bench::Arguments const arguments(count, words, 0.1);
  auto const device = bench::open_device(arguments.device);
  std::printf("%s\n%-44s%14s%14s%14s\n", device->describe().c_str(),
              "dtype, images, channels, kernel / stride", "forward", "input", "weights");
  for (Dtype const dtype : {Dtype::f32, Dtype::bf16})
    for (Convolution c : convolutions) {
      c.batch *= bench::scale(*device);
      report(*device, c, dtype, arguments.seconds);
    }
} catch (Error const& error) {
  std::fprintf(stderr, "conv: %s\n", error.what());
  return 1;
}
