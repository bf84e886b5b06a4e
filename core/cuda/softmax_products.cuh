#pragma once
#include "core/cuda/tiles.cuh"
#include "core/logit_rule.h"

/// Products of a chunk as the kernels of the softmax read them.
namespace core::cuda {

/// Products of a chunk, and the parameters that convert them to logits.
template <class Acc, class Others>
struct Products {
  RowTiles tiles;
  Acc const* z;
  Acc const *bias, *weights;  ///< or null
  Others others;
  int64_t const* labels;
  int64_t first;

  /// Returns the target's index in the tile; outside of it if the target is elsewhere.
  __device__ int64_t target(Tile const& tile) const {
    return labels[tile.row] - first - tile.begin;
  }
  template <int n, bool aligned>
  __device__ Pack<Acc, n> load_products(Tile const& tile, int64_t pack) const {
    Acc const* const from = z + tile.row * tiles.width + tile.begin;
    return load_part<n, aligned, Acc>(from, pack, tile.size, 0);
  }
  /// Converts products to logits.
  template <int n, bool aligned>
  __device__ Pack<Acc, n> logits(Tile const& tile, int64_t pack, Pack<Acc, n> values) const {
    auto const rule = others.at(tile.row);
#pragma unroll
    for (int j = 0; j < n; ++j) values.at[j] = rule.logit(values.at[j]);
    if (bias != nullptr) {
      auto const offset = load_part<n, aligned, Acc>(bias + tile.begin, pack, tile.size, 0);
#pragma unroll
      for (int j = 0; j < n; ++j) values.at[j] += offset.at[j];
    }
    return values;
  }
  template <int n, bool aligned>
  __device__ Pack<Acc, n> class_weights(Tile const& tile, int64_t pack) const {
    if (weights != nullptr)
      return load_part<n, aligned, Acc>(weights + tile.begin, pack, tile.size, 0);
    Pack<Acc, n> ones;
#pragma unroll
    for (Acc& one : ones.at) one = 1;
    return ones;
  }
};

/// Calls run(products, aligned); `aligned` is true if rows begin and end at pack boundaries.
template <class Acc, int n, class Run, class... T>
void with_products(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                   Tensor const& z, Run const& run, T const*... data) {
  with_others<Acc>(rule, [&](auto const& others) {
    Products<Acc, std::decay_t<decltype(others)>> const products{RowTiles(z.size(0), z.size(1)),
                                                                 z.data<Acc>(),
                                                                 data_or_null<Acc>(chunk.bias),
                                                                 data_or_null<Acc>(chunk.weights),
                                                                 others,
                                                                 labels.data<int64_t>(),
                                                                 chunk.first};
    bool const packed =
        rows_pack<n>(products.tiles.width, products.z, products.bias, products.weights, data...);
    with(packed, [&](auto aligned) { run(products, aligned); });
  });
}

}  // namespace core::cuda
