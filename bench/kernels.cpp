// Speed of a device's own kernels compared with copying its memory, which should bound them.
//
//      OMP_NUM_THREADS=1 build/release/bench/kernels [auto | cpu | cuda [seconds per figure,
//      default 0.3]]
//
//  Prints one line per kernel and dtype: GB/s read and written (the fastest calls count), its share
//  of a copy's GB/s (memcpy on the CPU, device to device on a GPU), and ns per element. On the CPU,
//  tensors are activations of 128 images, 32 x 32 x 64; the softmax has 128 rows of 8192 classes,
//  one chunk of the head; SGD updates 8M weights. On a GPU these sizes grow in proportion to its
//  cache.
#include "core/kernels.h"
#include <cstdio>
#include <limits>
#include "bench/timing.h"

using namespace core;

namespace {

class Bench {
 public:
  Bench(Device& device, double budget) : device_(device), budget_(budget) {
    Tensor const from = normal({scale() << 25}, Dtype::f32);
    Tensor to = empty_like(from);
    copy_speed_ = 2 * static_cast<double>(from.bytes()) /
                  bench::fastest(device, budget, [&] { device.copy(from, to); });
    std::printf("%s\ncopy %.1f GB/s\n\n%-28s %-5s %8s %8s %8s\n", device.describe().c_str(),
                copy_speed_ * 1e-9, "kernel", "dtype", "GB/s", "copy", "ns");
  }

  Device& device() { return device_; }
  Kernels& kernels() { return device_.kernels(); }
  int64_t scale() const { return bench::scale(device_); }

  /// Returns a tensor of standard normal numbers.
  Tensor normal(Shape const& shape, Dtype dtype) {
    Tensor wide(device_, shape, accumulator(dtype)), t(device_, shape, dtype);
    kernels().random_normal({1, Purpose::synthetic, item_++}, 0, 0, 1, wide);
    kernels().convert(wide, t);
    return t;
  }

  /// `touched`: every tensor that the call reads or writes, once per read or write.
  template <class F>
  void run(char const* kernel, Dtype dtype, std::vector<Tensor> const& touched, F const& call) {
    double bytes = 0;
    for (Tensor const& t : touched) bytes += static_cast<double>(t.bytes());
    double const seconds = bench::fastest(device_, budget_, call);
    double const elements = static_cast<double>(touched.begin()->count());
    std::printf("%-28s %-5s %8.1f %7.0f%% %8.3f\n", kernel, name(dtype), bytes / seconds * 1e-9,
                100 * bytes / seconds / copy_speed_, seconds / elements * 1e9);
  }

 private:
  Device& device_;
  double budget_, copy_speed_;
  uint64_t item_ = 0;
};

void elementwise(Bench& bench, Dtype dtype) {
  Shape const shape{128 * bench.scale(), 32, 32, 64};
  Tensor x = bench.normal(shape, dtype), dy = bench.normal(shape, dtype), y = empty_like(x);
  Tensor dx = empty_like(x);
  Kernels& k = bench.kernels();
  if (dtype == Dtype::bf16) {
    Tensor wide(bench.device(), shape, Dtype::f32);
    bench.run("convert to f32", dtype, {x, wide}, [&] { k.convert(x, wide); });
    bench.run("convert from f32", dtype, {x, wide}, [&] { k.convert(wide, x); });
  }
  bench.run("add", dtype, {x, dy, y}, [&] { k.add(x, dy, y); });
  bench.run("relu", dtype, {x, y}, [&] { k.relu(x, y); });
  bench.run("relu backward", dtype, {y, dy, dx}, [&] { k.relu_backward(y, dy, dx); });
  bench.run("dropout", dtype, {x, y}, [&] { k.dropout(x, {1, Purpose::dropout, 1}, 0, 0.5, y); });
}

void batch_norm(Bench& bench, Dtype dtype, Shape const& shape) {
  Tensor x = bench.normal(shape, dtype), dy = bench.normal(shape, dtype), y = empty_like(x);
  Tensor dx = empty_like(x), dresidual = empty_like(x), none;
  Tensor signs(bench.device(), signs_shape(shape), Dtype::u8);
  int64_t const channels = shape.back();
  Tensor moments(bench.device(), {3, channels}, Dtype::f32);
  Tensor sums(bench.device(), {2, channels}, Dtype::f32), sums_and_slope = empty_like(moments);
  Kernels& k = bench.kernels();
  bench.run("batch statistics", dtype, {x}, [&] { k.batch_statistics(x, moments); });
  Normalization norm{.gain = bench.normal({channels}, Dtype::f32),
                     .bias = bench.normal({channels}, Dtype::f32)};
  norm.mean = empty_like(norm.gain), norm.variance = empty_like(norm.gain);
  norm.slope = bench.normal({channels}, Dtype::f32);
  Tensor count = empty_like(norm.gain);
  k.fill(0, norm.mean), k.fill(1, norm.variance), k.fill(1, count);
  norm.activation = Activation::relu;
  bench.run("batch norm, residual, relu", dtype, {x, dy, y, signs},
            [&] { k.batch_norm(norm, x, dy, y, signs); });
  bench.run("  backward sums", dtype, {x, signs, dy},
            [&] { k.batch_norm_backward_sums(norm, x, signs, dy, sums); });
  bench.run("  backward", dtype, {x, signs, dy, dx, dresidual}, [&] {
    k.batch_norm_backward(norm, x, signs, dy, count, sums, Store::replace, dx, dresidual);
  });
  for (auto const& [activation, name] : {std::pair{Activation::none, "batch norm"},
                                         {Activation::relu, "batch norm, relu"},
                                         {Activation::prelu, "batch norm, prelu"}}) {
    norm.activation = activation;
    Tensor& total = activation == Activation::prelu ? sums_and_slope : sums;
    bench.run(name, dtype, {x, y}, [&] { k.batch_norm(norm, x, none, y, none); });
    bench.run("  backward sums", dtype, {x, dy},
              [&] { k.batch_norm_backward_sums(norm, x, none, dy, total); });
    bench.run("  backward", dtype, {x, dy, dx}, [&] {
      k.batch_norm_backward(norm, x, none, dy, count, total, Store::replace, dx, none);
    });
  }
}

/// Measures the passes over a chunk under one logit rule.
void softmax_passes(Bench& bench, char const* rule_name, LogitRule const& rule,
                    ClassChunk const& chunk, Tensor const& labels, Tensor const& z) {
  int64_t const rows = z.size(0);
  Tensor stats(bench.device(), {rows, 6}, Dtype::f32),
      factors(bench.device(), {rows, 4}, Dtype::f32);
  Tensor reference(bench.device(), {rows}, Dtype::f32), none;
  Tensor tiles(bench.device(), {math::tiles_of(z.size(1)), rows, 3}, Dtype::f32);
  Kernels& k = bench.kernels();
  k.fill(1, factors), k.fill(1, reference);
  std::printf("%s:\n", rule_name);
  k.softmax_begin(stats);
  bench.run("softmax statistics", Dtype::f32, {z},
            [&] { k.softmax_statistics(rule, chunk, labels, z, stats, tiles); });
  bench.run("softmax merge", Dtype::f32, {tiles}, [&] { k.softmax_merge_tiles(tiles, stats); });
  for (Dtype const dtype : {Dtype::f32, Dtype::bf16}) {
    Tensor g(bench.device(), z.shape(), dtype);
    Columns e(g);
    bench.run("softmax exponentials", dtype, {z, g},
              [&] { k.softmax_exponentials(rule, chunk, labels, z, reference, stats, tiles, e); });
    bench.run("softmax align", dtype, {tiles},
              [&] { k.softmax_align(none, z.size(1), tiles, reference, e, none); });
    bench.run("softmax gradient", dtype, {z, g},
              [&] { k.softmax_gradient(rule, chunk, labels, z, factors, g); });
    bench.run("softmax gradient, stored", dtype, {g, g},
              [&] { k.softmax_gradient_stored(rule, chunk, labels, reference, factors, e); });
  }
}

void softmax(Bench& bench) {
  int64_t const rows = 128 * bench.scale(), classes = 8192;
  Tensor z = bench.normal({rows, classes}, Dtype::f32), bias = bench.normal({classes}, Dtype::f32);
  Tensor labels(bench.device(), {rows}, Dtype::i64), thresholds(bench.device(), {rows}, Dtype::f32);
  Tensor hardness(bench.device(), {1}, Dtype::f32);
  Tensor scores(bench.device(), {rows, 5}, Dtype::f32), best(bench.device(), {rows, 5}, Dtype::i64);
  Kernels& k = bench.kernels();
  k.fill(7, labels), k.fill(0.4, thresholds), k.fill(0.1, hardness);
  softmax_passes(bench, "softmax", {}, {}, labels, z);
  softmax_passes(bench, "softmax with bias", {}, {.bias = bias}, labels, z);
  softmax_passes(bench, "inter-class filter", {.thresholds = thresholds}, {}, labels, z);
  softmax_passes(bench, "CurricularFace", {.thresholds = thresholds, .hardness = hardness}, {},
                 labels, z);
  bench.run("top 5", Dtype::f32, {z}, [&] {
    k.fill(-std::numeric_limits<double>::infinity(), scores), k.fill(-1, best);
    k.top_k(z, 0, scores, best);
  });
}

void optimizer(Bench& bench) {
  Shape const shape{bench.scale() << 23};
  Tensor w = bench.normal(shape, Dtype::f32), v = bench.normal(shape, Dtype::f32);
  Tensor g = bench.normal(shape, Dtype::f32), copy = bench.normal(shape, Dtype::bf16), none;
  Tensor s = bench.normal(shape, Dtype::f32), narrow = bench.normal(shape, Dtype::bf16);
  Kernels& k = bench.kernels();
  k.fill(1, s);  // second moments are not negative
  auto const run = [&](char const* name, Dtype dtype, UpdateRule rule, UpdateState state,
                       std::vector<Tensor> const& moved) {
    rule.step_scalars = make_step_scalars(bench.device(), rule, 1e-3, 1);
    bench.run(name, dtype, moved, [&] { k.update(rule, 0, none, g, state); });
  };
  UpdateRule descent, momentum, adam;
  momentum.momentum = adam.momentum = 0.9, momentum.decay = 5e-4, adam.kind = Rule::adam;
  run("sgd", Dtype::f32, descent, {w, none, none, none}, {g, w, w});
  run("sgd, momentum", Dtype::f32, momentum, {w, v, none, none}, {g, w, w, v, v});
  run("sgd, momentum, copy", Dtype::bf16, momentum, {w, v, none, copy}, {g, w, w, v, v, copy});
  run("adam", Dtype::f32, adam, {w, v, s, none}, {g, w, w, v, v, s, s});
  run("sgd, momentum, all bf16", Dtype::bf16, momentum, {copy, narrow, none, none},
      {g, copy, copy, narrow, narrow});
  bench.run("random normal", Dtype::f32, {g}, [&] {
    k.random_normal({1, Purpose::weights, 1}, 0, 0, 1, g);
  });
  bench.run("random uniform", Dtype::f32, {g}, [&] {
    k.random_uniform({1, Purpose::weights, 1}, 0, 0, 1, g);
  });
}

}  // namespace

int main(int count, char** words) try {
  bench::Arguments const arguments(count, words, 0.3);
  auto const device = bench::open_device(arguments.device);
  Bench bench(*device, arguments.seconds);
  int64_t const images = 128 * bench.scale();
  for (Dtype const dtype : {Dtype::f32, Dtype::bf16}) {
    elementwise(bench, dtype);
    batch_norm(bench, dtype, {images, 32, 32, 64});
    std::puts("512 channels:");
    batch_norm(bench, dtype, {images, 8, 8, 512});
  }
  softmax(bench);
  optimizer(bench);
} catch (Error const& error) {
  std::fprintf(stderr, "kernels: %s\n", error.what());
  return 1;
}
