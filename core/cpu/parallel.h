#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

namespace core::cpu {

/// Calls f(begin, end) for each block of `size` elements of [0, count), on all threads. The blocks
/// do not depend on the number of threads, so sums computed per block do not either.
template <class F>
void for_blocks(int64_t count, int64_t size, F const& f) {
  int64_t const blocks = (count + size - 1) / size;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t block = 0; block < blocks; ++block)
    f(block * size, std::min(count, (block + 1) * size));
}

/// Calls f(i) for i in [begin, end), vectorized: f(i) may only access data of index i. This is a
/// function, not an inline loop, because g++ keeps bf16 temporaries in the body of a simd loop in
/// memory.
template <class F>
void simd(int64_t begin, int64_t end, F f) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) f(i);
}

/// Returns f(0) + ... + f(count - 1), accumulated in 64 independent sums: additions do not wait for
/// each other, and their order does not depend on the processor. f(i) may be called twice.
template <class Acc, class F>
Acc simd_sum(int64_t count, F const& f) {
  constexpr int64_t lanes = 64;
  Acc partial[lanes] = {}, sum = 0;
  int64_t const whole = count / lanes * lanes, rest = count - whole;
  for (int64_t i = 0; i < whole; i += lanes)
    simd(0, lanes, [&](int64_t lane) { partial[lane] += f(i + lane); });
  if (whole == 0)
    simd(0, rest, [&](int64_t lane) { partial[lane] += f(lane); });
  else if (rest > 0)  // the last 64 elements at once, with those already added masked
    simd(0, lanes, [&](int64_t lane) {
      Acc const x = f(count - lanes + lane);
      partial[lane] += lane < lanes - rest ? Acc(0) : x;
    });
  for (Acc const part : partial) sum += part;
  return sum;
}

/// Returns the largest of f(0) ... f(count - 1), -inf if count is 0. NaN is skipped.
template <class Acc, class F>
Acc simd_max(int64_t count, F const& f) {
  Acc max = -std::numeric_limits<Acc>::infinity();
#pragma omp simd reduction(max : max)
  for (int64_t i = 0; i < count; ++i) {
    Acc const x = f(i);
    max = max < x ? x : max;
  }
  return max;
}

/// Calls simd for blocks of [0, count), on all threads.
template <class F>
void for_elements(int64_t count, F const& f) {
  constexpr int64_t block = 1 << 16;  // about 10 us of work
  for_blocks(count, block, [=](int64_t begin, int64_t end) { simd(begin, end, f); });
}

/// out[i] = f(in[i]...); `out` may be one of the inputs.
template <class F, class T, class... In>
void map(F f, int64_t count, T* out, In const*... in) {
  for_elements(count, [=](int64_t i) { out[i] = f(in[i]...); });
}

}  // namespace core::cpu
