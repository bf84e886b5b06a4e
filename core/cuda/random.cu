#include "core/cuda/kernels.h"
#include "core/cuda/map.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/distributions.h"
#include "core/random.h"

namespace core::cuda {
namespace {

/// Range of a stream: `count` numbers from number `offset` of block `block` on, which lie in
/// `blocks` blocks.
struct Numbers {
  RandomKey key;
  uint64_t block;
  int64_t offset, count, blocks;

  Numbers(RandomKey const& key, int64_t first, int64_t count)
      : key(key),
        block(static_cast<uint64_t>(first / 4)),
        offset(first % 4),
        count(count),
        blocks((offset + count + 3) / 4) {}
};

struct Uniforms {
  __device__ Pack<float, 4> operator()(std::array<uint32_t, 4> const& bits) const {
    return {uniform(bits[0]), uniform(bits[1]), uniform(bits[2]), uniform(bits[3])};
  }
};

struct Normals {
  __device__ Pack<float, 4> operator()(std::array<uint32_t, 4> const& bits) const {
    NormalPair const a = normal_pair(bits[0], bits[1]), b = normal_pair(bits[2], bits[3]);
    return {a.x, a.y, b.x, b.y};
  }
};

/// Each thread generates whole blocks of the stream. `packed`: arrays are aligned at the elements
/// where blocks begin.
template <bool packed, class Draw, class F, class Out, class... In>
__global__ void random_kernel(Numbers numbers, F f, Out* out, In const*... in) {
  for (int64_t i = first_of_grid(); i < numbers.blocks; i += step_of_grid()) {
    auto const block = random_block(numbers.key, numbers.block + static_cast<uint64_t>(i));
    Pack<float, 4> const drawn = Draw{}(block);
    int64_t const at = 4 * i - numbers.offset;
    if (packed && at >= 0 && at + 4 <= numbers.count) {
      map_pack<4, F, Out, float, In...>(f, out + at, 0, drawn, load<4>(in + at, 0)...);
      continue;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (at + j >= 0 && at + j < numbers.count) out[at + j] = f(drawn.at[j], in[at + j]...);
  }
}

/// out[i] := f(number i of the range, in[i]...).
template <class Draw, class F, class Out, class... In>
void map_random(StreamHandle stream, Numbers const& numbers, F const& f, Out* out,
                In const*... in) {
  if (numbers.count == 0) return;
  int64_t const to_block = (4 - numbers.offset) % 4;
  auto const aligned = [=](auto const* data) { return packs<4>(data + to_block); };
  with(aligned(out) && (aligned(in) && ...), [&](auto packed) {
    launch(random_kernel<packed, Draw, F, Out, In...>, grid_of(numbers.blocks), stream, numbers, f,
           out, in...);
  });
}

}  // namespace

void CudaKernels::random_normal(RandomKey key, int64_t first, double mean, double stddev,
                                Tensor& t) {
  visit_wide(t.dtype(), [&]<class T>() {
    math::Normal const normal{static_cast<float>(mean), static_cast<float>(stddev)};
    map_random<Normals>(stream_, Numbers(key, first, t.count()), normal, t.data<T>());
  });
}

void CudaKernels::random_uniform(RandomKey key, int64_t first, double low, double high, Tensor& t) {
  visit_wide(t.dtype(), [&]<class T>() {
    map_random<Uniforms>(stream_, Numbers(key, first, t.count()), math::Uniform(low, high),
                         t.data<T>());
  });
}

void CudaKernels::dropout(Tensor const& x, RandomKey key, int64_t first, double probability,
                          Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    math::Dropout<Acc> const drop{static_cast<float>(probability),
                                  static_cast<Acc>(1 / (1 - probability))};
    map_random<Uniforms>(stream_, Numbers(key, first, x.count()), drop, y.data<T>(), x.data<T>());
  });
}

}  // namespace core::cuda
