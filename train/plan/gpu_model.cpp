#include "train/plan/gpu_model.h"
#include <algorithm>
#include <array>
#include <limits>

namespace train {
namespace {

// Constants of an H200, with their sources: bench/gpu_kernels.py.
constexpr double launch = 2e-6, latency = 1.5e-6, fill = 1e-6;
constexpr double memory_share = 0.88, convolution_share = 0.70;
constexpr double cache_read = 5.5e12, cache_write = 4.5e12, processor_write = 109e9;
constexpr int64_t processors = 132, depth_step = 64;
constexpr double most_partial_sums = 32 << 20;  ///< bytes

/// Shape of the tiles of a product, and the share of the peak in their inner loop.
struct Tile {
  int64_t rows, columns;
  double share;
};
constexpr std::array<Tile, 4> tiles{
    {{128, 256, 0.95}, {256, 128, 0.95}, {128, 128, 0.80}, {64, 256, 0.78}}};

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

double seconds(double amount, double rate) { return rate > 0 ? amount / rate : 0; }

/// Time of a product in f32 whose depth is divided into `splits` parts, summed by another kernel.
double product_time(core::dry::Work const& w, Tile const& tile, int64_t splits, double flops) {
  int64_t const depth = parts(parts(w.depth, splits), depth_step) * depth_step;
  int64_t const blocks = splits * parts(w.rows, tile.rows) * parts(w.columns, tile.columns);
  auto const waves = static_cast<double>(parts(blocks, processors));
  auto const area = static_cast<double>(tile.rows * tile.columns);
  double const loop =
      seconds(2 * area * static_cast<double>(depth) * processors, flops * tile.share);
  auto const active = static_cast<double>(std::min(blocks, processors));
  double const store = 4 * area / std::min(processor_write, cache_write / active);
  // Kernels are persistent: of several waves' stores, about half is hidden.
  double time = launch + fill + waves * loop + store * (1 + 0.5 * (waves - 1));
  auto const result = static_cast<double>(w.rows * w.columns);
  if (splits > 1)
    time += launch + latency + 4 * result * static_cast<double>(splits + 1) / cache_read;
  return time;
}

/// Time of the fastest tiles and split, as a library chooses them.
double best_product_time(core::dry::Work const& w, double flops) {
  double best = std::numeric_limits<double>::infinity();
  for (Tile const& tile : tiles)
    for (int64_t splits = 1; splits <= 16; splits *= 2) {
      auto const sums = 4 * static_cast<double>(splits * w.rows * w.columns);
      bool const possible = splits == 1 || (sums <= most_partial_sums && w.depth / splits >= 128);
      if (possible) best = std::min(best, product_time(w, tile, splits, flops));
    }
  return best;
}

}  // namespace

double gpu_kernel_time(core::dry::Work const& work, double flops, double memory) {
  double const bytes = seconds(work.bytes, memory * memory_share);
  if (work.depth > 0) return std::max(best_product_time(work, flops), launch + bytes);
  return launch + latency + std::max(bytes, seconds(work.flops, flops * convolution_share));
}

}  // namespace train
