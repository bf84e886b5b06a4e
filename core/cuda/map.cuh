#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include "core/cuda/language.cuh"

namespace core::cuda {

/// Vector of n elements that a thread loads or stores with one instruction.
template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T at[n];
};

/// Number of elements of the largest of these types in 16 bytes, the largest access of one
/// instruction.
template <class... T>
inline constexpr int pack_size = static_cast<int>(16 / std::max({sizeof(T)...}));

template <int n, class T>
bool packs(T const* data) {
  return reinterpret_cast<uintptr_t>(data) % sizeof(Pack<T, n>) == 0;
}

template <int n, class T>
__device__ Pack<T, n> load(T const* data, int64_t pack) {
  return reinterpret_cast<Pack<T, n> const*>(data)[pack];
}

template <int n, class T>
__device__ void store(Pack<T, n> const& values, T* data, int64_t pack) {
  reinterpret_cast<Pack<T, n>*>(data)[pack] = values;
}

/// Built-in type of this size that one instruction loads or stores.
template <size_t bytes>
struct Word;
template <>
struct Word<2> {
  using Type = unsigned short;
};
template <>
struct Word<4> {
  using Type = unsigned;
};
template <>
struct Word<8> {
  using Type = uint2;
};
template <>
struct Word<16> {
  using Type = uint4;
};

/// Like load and store, for data that is not used again soon: it does not displace other data in
/// the cache.
template <int n, class T>
__device__ Pack<T, n> load_streamed(T const* data, int64_t pack) {
  using Type = typename Word<sizeof(Pack<T, n>)>::Type;
  return std::bit_cast<Pack<T, n>>(__ldcs(reinterpret_cast<Type const*>(data) + pack));
}
template <int n, class T>
__device__ void store_streamed(Pack<T, n> const& values, T* data, int64_t pack) {
  using Type = typename Word<sizeof(Pack<T, n>)>::Type;
  __stcs(reinterpret_cast<Type*>(data) + pack, std::bit_cast<Type>(values));
}

inline constexpr unsigned map_threads = 256;

/// Returns a grid for `count` threads of work. Each thread continues in steps of the grid size
/// (grid-stride loop), so the number of blocks is limited to what fills any GPU.
inline Grid grid_of(int64_t count) {
  constexpr int64_t most = 8192;
  int64_t const blocks = (count + map_threads - 1) / map_threads;
  return {dim3(static_cast<unsigned>(std::min(blocks, most))), map_threads};
}

__device__ inline int64_t first_of_grid() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t step_of_grid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

template <int n, class F, class Out, class... In>
__device__ void map_pack(F const& f, Out* out, int64_t pack, Pack<In, n> const&... in) {
  Pack<Out, n> result;
#pragma unroll
  for (int j = 0; j < n; ++j) result.at[j] = f(in.at[j]...);
  store<n>(result, out, pack);
}

template <int n, class F, class Out, class... In>
__global__ void map_kernel(F f, int64_t packs, Out* out, In const*... in) {
  for (int64_t i = first_of_grid(); i < packs; i += step_of_grid())
    map_pack<n, F, Out, In...>(f, out, i, load<n>(in, i)...);
}

/// out[i] := f(in[i]...); `out` may be one of the inputs. f must be a named functor: nvcc and the
/// host compiler disagree on the types of lambdas.
template <class F, class Out, class... In>
void map(StreamHandle stream, F const& f, int64_t count, Out* out, In const*... in) {
  constexpr int n = pack_size<Out, In...>;
  bool const aligned = packs<n>(out) && (packs<n>(in) && ...);
  int64_t const whole = aligned ? count / n : 0, rest = count - whole * n;
  if (whole > 0) launch(map_kernel<n, F, Out, In...>, grid_of(whole), stream, f, whole, out, in...);
  if (rest > 0)
    launch(map_kernel<1, F, Out, In...>, grid_of(rest), stream, f, rest, out + whole * n,
           (in + whole * n)...);
}

}  // namespace core::cuda
