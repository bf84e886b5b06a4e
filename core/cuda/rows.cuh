#pragma once
#include <array>
#include "core/cuda/map.cuh"
#include "core/device.h"
#include "core/tensor.h"

/// Passes over rows of channels: tensors (..., Ch) viewed as (rows, Ch). A thread processes one
/// pack of channels and iterates over the rows of its block: channel data is loaded once, and sums
/// over rows stay in registers.
///
/// A pass is a functor f of one element:
///   f.channel(c, row)    F::Channel, the thread's state for channel c; its rows begin at `row`
///   f(channel, inputs)   outputs; inputs and outputs are std::array<T, .>
///   f.total(channel, n)  F::Total, of f64s: result of the thread's n rows (only in reduce_rows)
/// A pass may also read or store signs (signs_shape): packs then have 8 channels, or 1, and a byte
/// of signs.
namespace core::cuda {

/// Partition of a tensor over a grid. It depends only on the tensor's shape, and so does the order
/// of sums.
struct RowPartition {
  int64_t rows, columns;  ///< size of the tensor; a column is a pack of channels
  unsigned groups;        ///< number of blocks side by side, each a group of columns
  unsigned across, down;  ///< columns of a block, and rows that it processes at a time
  int64_t block_rows;     ///< number of rows per block
};

/// Returns the number of blocks along the rows.
inline int64_t blocks_down(RowPartition const& walk) {
  return (walk.rows + walk.block_rows - 1) / walk.block_rows;
}

inline RowPartition walk_over(int64_t rows, int64_t columns) {
  constexpr int64_t most_across = 64;
  constexpr int64_t blocks = 512;           // enough to keep any GPU busy
  constexpr int64_t fewest = 8, most = 64;  // rows per thread: longer sums lose digits in f32
  int64_t const groups = (columns + most_across - 1) / most_across;
  int64_t const across = (columns + groups - 1) / groups, down = map_threads / across;
  int64_t const steps = (rows + down - 1) / down;
  int64_t const thread_rows = std::clamp(steps * groups / blocks, fewest, most);
  return {rows,
          columns,
          static_cast<unsigned>(groups),
          static_cast<unsigned>(across),
          static_cast<unsigned>(down),
          thread_rows * down};
}

inline Grid grid_of(RowPartition const& walk) {
  return {dim3(static_cast<unsigned>(blocks_down(walk) * walk.groups)), map_threads};
}

/// A thread's rows: row, row + down, ... before `end`, of one column. Surplus threads have none.
struct ThreadRows {
  int64_t block, column, row, end;
};

__device__ inline ThreadRows lane_of(RowPartition const& walk) {
  int64_t const block = blockIdx.x / walk.groups;
  int64_t const column =
      static_cast<int64_t>(blockIdx.x % walk.groups) * walk.across + threadIdx.x % walk.across;
  unsigned const depth = threadIdx.x / walk.across;
  int64_t const begin = block * walk.block_rows, below = begin + walk.block_rows;
  int64_t const end = below < walk.rows ? below : walk.rows;
  bool const spare = depth >= walk.down || column >= walk.columns;
  return {block, column, spare ? end : begin + depth, end};
}

/// Access to packs: with one instruction, or element by element if an address is not aligned. The
/// assignment of elements to threads is the same.
enum class Access { packs, elements };

template <int n, Access access, class T>
__device__ Pack<T, n> load_pack(T const* data, int64_t pack) {
  if constexpr (access == Access::packs) {
    return load<n>(data, pack);
  } else {
    Pack<T, n> values;
    for (int j = 0; j < n; ++j) values.at[j] = data[pack * n + j];
    return values;
  }
}

template <int n, Access access, class T>
__device__ void store_pack(Pack<T, n> const& values, T* data, int64_t pack) {
  if constexpr (access == Access::packs)
    store<n>(values, data, pack);
  else
    for (int j = 0; j < n; ++j) data[pack * n + j] = values.at[j];
}

struct NoSigns {
  static constexpr bool read = false, stored = false;
};
/// Signs as one more input, the last: 1 or 0.
struct ReadSigns {
  static constexpr bool read = true, stored = false;
  uint8_t const* data;
};
/// The signs of the first output.
struct StoreSigns {
  static constexpr bool read = false, stored = true;
  uint8_t* data;
};

/// Arrays of a pass, all of the tensor's shape, and its signs.
template <class T, size_t ins, size_t outs, class S>
struct RowArrays {
  std::array<T const*, ins> in;
  std::array<T*, outs> out;
  S signs;
};

/// A pack of each input, and its signs.
template <class T, int n, size_t ins>
struct InputPacks {
  std::array<Pack<T, n>, ins> at;
  uint8_t signs = 0;
};

template <int n, Access access, class T, size_t ins, size_t outs, class S>
__device__ InputPacks<T, n, ins> load_inputs(RowArrays<T, ins, outs, S> const& arrays,
                                             int64_t pack) {
  InputPacks<T, n, ins> packs;
#pragma unroll
  for (size_t i = 0; i < ins; ++i) packs.at[i] = load_pack<n, access>(arrays.in[i], pack);
  if constexpr (S::read) packs.signs = arrays.signs.data[pack];
  return packs;
}

/// Element j of each input, and its sign if signs are read.
template <class S, class T, int n, size_t ins>
__device__ std::array<T, ins + S::read> elements_of(InputPacks<T, n, ins> const& packs, int j) {
  std::array<T, ins + S::read> elements;
#pragma unroll
  for (size_t i = 0; i < ins; ++i) elements[i] = packs.at[i].at[j];
  if constexpr (S::read) elements[ins] = T(static_cast<float>(packs.signs >> j & 1));
  return elements;
}

/// Computes pack `pack` of the outputs from that of the inputs.
template <int n, Access access, class F, class T, size_t ins, size_t outs, class S>
__device__ void take_pack(F const& f, typename F::Channel (&channels)[n],
                          InputPacks<T, n, ins> const& in, RowArrays<T, ins, outs, S> const& arrays,
                          int64_t pack) {
  std::array<Pack<T, n>, outs> results;
  unsigned signs = 0;
#pragma unroll
  for (int j = 0; j < n; ++j) {
    std::array<T, outs> const made = f(channels[j], elements_of<S>(in, j));
    if constexpr (outs > 0) {
#pragma unroll
      for (size_t o = 0; o < outs; ++o) results[o].at[j] = made[o];
    }
    if constexpr (S::stored) signs |= (made[0] > 0 ? 1u : 0u) << j;
  }
  if constexpr (S::stored) arrays.signs.data[pack] = static_cast<uint8_t>(signs);
  if constexpr (outs > 0) {
#pragma unroll
    for (size_t o = 0; o < outs; ++o) store_pack<n, access>(results[o], arrays.out[o], pack);
  }
}

/// Applies f to the lane's rows, several at a time so that their loads overlap. Outputs may be
/// inputs.
template <int n, Access access, class F, class T, size_t ins, size_t outs, class S>
__device__ void visit_rows(F const& f, typename F::Channel (&channels)[n], RowPartition const& walk,
                           ThreadRows const& lane, RowArrays<T, ins, outs, S> const& arrays) {
  constexpr int at_once = ins < 3 ? 4 / ins : 1;
  int64_t const down = walk.down;
  for (int64_t row = lane.row; row < lane.end; row += at_once * down) {
    InputPacks<T, n, ins> packs[at_once];
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      if (row + k * down >= lane.end) continue;
      packs[k] = load_inputs<n, access>(arrays, (row + k * down) * walk.columns + lane.column);
    }
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      if (row + k * down >= lane.end) continue;
      take_pack<n, access>(f, channels, packs[k], arrays,
                           (row + k * down) * walk.columns + lane.column);
    }
  }
}

template <int n, class F>
__device__ void load_channels(F const& f, ThreadRows const& lane,
                              typename F::Channel (&channels)[n]) {
#pragma unroll
  for (int j = 0; j < n; ++j) channels[j] = f.channel(lane.column * n + j, lane.row);
}

template <int n, Access access, class F, class T, size_t ins, size_t outs, class S>
__global__ void map_rows_kernel(RowPartition walk, F f, RowArrays<T, ins, outs, S> arrays) {
  ThreadRows const lane = lane_of(walk);
  if (lane.row >= lane.end) return;
  typename F::Channel channels[n];
  load_channels(f, lane, channels);
  visit_rows<n, access>(f, channels, walk, lane, arrays);
}

/// Sums of `count` quantities.
template <int count>
struct Sums {
  double at[count];
};
template <int count>
__device__ Sums<count> merge(Sums<count> a, Sums<count> const& b) {
  for (int i = 0; i < count; ++i) a.at[i] += b.at[i];
  return a;
}

/// Merges pairwise the totals of the block's threads t, t + across, t + 2 across, ...; the result
/// is in thread t < across.
template <int n, class Total>
__device__ void merge_down(Total (&mine)[n], unsigned across) {
  __shared__ Total theirs[n][map_threads / 2];
  unsigned const t = threadIdx.x;
  unsigned stride = across;
  while (2 * stride < map_threads) stride *= 2;
  for (; stride >= across; stride /= 2) {
    if (t >= stride && t < 2 * stride)
      for (int j = 0; j < n; ++j) theirs[j][t - stride] = mine[j];
    __syncthreads();
    if (t < stride && t + stride < map_threads)
      for (int j = 0; j < n; ++j) mine[j] = merge(mine[j], theirs[j][t]);
    __syncthreads();
  }
}

/// parts (blocks down, Ch): total of each channel in each block.
template <int n, Access access, class F, class T, size_t ins, size_t outs, class S>
__global__ void reduce_rows_kernel(RowPartition walk, F f, RowArrays<T, ins, outs, S> arrays,
                                   typename F::Total* parts) {
  ThreadRows const lane = lane_of(walk);
  typename F::Total totals[n] = {};
  if (lane.row < lane.end) {
    typename F::Channel channels[n];
    load_channels(f, lane, channels);
    visit_rows<n, access>(f, channels, walk, lane, arrays);
    int64_t const rows = (lane.end - lane.row + walk.down - 1) / walk.down;
#pragma unroll
    for (int j = 0; j < n; ++j) totals[j] = f.total(channels[j], rows);
  }
  merge_down(totals, walk.across);
  if (threadIdx.x >= walk.across || lane.column >= walk.columns) return;
  for (int j = 0; j < n; ++j) parts[(lane.block * walk.columns + lane.column) * n + j] = totals[j];
}

inline constexpr unsigned merged_channels = 8;  ///< channels per block of merge_parts_kernel

/// Calls finish(merged parts of channel c, c) for each channel.
template <class Total, class Finish>
__global__ void merge_parts_kernel(Total const* parts, int64_t count, int64_t width,
                                   Finish finish) {
  int64_t const c =
      static_cast<int64_t>(blockIdx.x) * merged_channels + threadIdx.x % merged_channels;
  Total total[1] = {};
  if (c < width) {
#pragma unroll 4
    for (int64_t p = threadIdx.x / merged_channels; p < count; p += map_threads / merged_channels)
      total[0] = merge(total[0], parts[p * width + c]);
  }
  merge_down(total, merged_channels);
  if (threadIdx.x < merged_channels && c < width) finish(total[0], c);
}

/// Calls run.operator()<n, access>() with the pack size n that the width and the addresses allow.
template <class T, size_t ins, size_t outs, class S, class Run>
void with_packs(int64_t width, RowArrays<T, ins, outs, S> const& arrays, Run const& run) {
  constexpr int n = S::read || S::stored ? 8 : pack_size<T>;
  auto const aligned = [](T const* data) { return packs<n>(data); };
  if (width % n != 0)
    run.template operator()<1, Access::packs>();
  else if (std::all_of(arrays.in.begin(), arrays.in.end(), aligned) &&
           std::all_of(arrays.out.begin(), arrays.out.end(), aligned))
    run.template operator()<n, Access::packs>();
  else
    run.template operator()<n, Access::elements>();
}

/// out[.][r, c] := f(channel c, in[.][r, c]), for tensors of x's shape.
template <class F, class T, size_t ins, size_t outs, class S = NoSigns>
void map_rows(StreamHandle stream, Tensor const& x, F const& f, std::array<T const*, ins> const& in,
              std::array<T*, outs> const& out, S const& signs = {}) {
  if (x.count() == 0) return;
  RowArrays<T, ins, outs, S> const arrays{in, out, signs};
  with_packs(channels(x), arrays, [&]<int n, Access access>() {
    RowPartition const walk = walk_over(rows(x), channels(x) / n);
    launch(map_rows_kernel<n, access, F, T, ins, outs, S>, grid_of(walk), stream, walk, f, arrays);
  });
}

/// Like map_rows, then calls finish(total, c) for each channel with the merged total of all its
/// rows.
template <class F, class Finish, class T, size_t ins, size_t outs, class S = NoSigns>
void reduce_rows(StreamHandle stream, Tensor const& x, F const& f,
                 std::array<T const*, ins> const& in, std::array<T*, outs> const& out,
                 Finish const& finish, S const& signs = {}) {
  using Total = typename F::Total;
  int64_t const width = channels(x);
  if (width == 0) return;
  RowArrays<T, ins, outs, S> const arrays{in, out, signs};
  with_packs(width, arrays, [&]<int n, Access access>() {
    RowPartition const walk = walk_over(rows(x), width / n);
    int64_t const blocks = blocks_down(walk);
    Tensor scratch(x.device(), {blocks, width, sizeof(Total) / sizeof(double)}, Dtype::f64);
    auto* const parts = reinterpret_cast<Total*>(scratch.data<double>());
    if (blocks > 0)
      launch(reduce_rows_kernel<n, access, F, T, ins, outs, S>, grid_of(walk), stream, walk, f,
             arrays, parts);
    int64_t const merging = (width + merged_channels - 1) / merged_channels;
    launch(merge_parts_kernel<Total, Finish>,
           Grid{dim3(static_cast<unsigned>(merging)), map_threads}, stream,
           static_cast<Total const*>(parts), blocks, width, finish);
  });
}

/// Returns `some`, with `optional` appended if `wanted`.
template <bool wanted, class P, size_t count>
std::array<P, count + wanted> append_if(std::array<P, count> const& some, P optional) {
  std::array<P, count + wanted> all{};
  std::copy(some.begin(), some.end(), all.begin());
  if constexpr (wanted) all.back() = optional;
  return all;
}

}  // namespace core::cuda
