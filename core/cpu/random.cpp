#include "core/cpu/kernels.h"
#include "core/cpu/random_numbers.h"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/distributions.h"

namespace core::cpu {
namespace {

void uniforms(uint32_t const* bits, float* u) {
  simd(0, random_tile, [=](int64_t i) { u[i] = uniform(bits[i]); });
}

void normals(uint32_t const* bits, float* z) {
  simd(0, random_tile / 2, [=](int64_t i) {
    auto const [x, y] = normal_pair(bits[2 * i], bits[2 * i + 1]);
    z[2 * i] = x;
    z[2 * i + 1] = y;
  });
}

}  // namespace

void CpuKernels::random_normal(RandomKey key, int64_t first, double mean, double stddev,
                               Tensor& t) {
  visit_wide(t.dtype(), [&]<class T>() {
    math::Normal const normal{static_cast<float>(mean), static_cast<float>(stddev)};
    for_random(key, first, t.count(), normals,
               [=, out = t.data<T>()](float const* z, int64_t i, int64_t n) {
                 simd(0, n, [=](int64_t j) { out[i + j] = normal(z[j]); });
               });
  });
}

void CpuKernels::random_uniform(RandomKey key, int64_t first, double low, double high, Tensor& t) {
  visit_wide(t.dtype(), [&]<class T>() {
    math::Uniform const spread(low, high);
    for_random(key, first, t.count(), uniforms,
               [=, out = t.data<T>()](float const* u, int64_t i, int64_t n) {
                 simd(0, n, [=](int64_t j) { out[i + j] = spread(u[j]); });
               });
  });
}

void CpuKernels::dropout(Tensor const& x, RandomKey key, int64_t first, double probability,
                         Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    math::Dropout<Acc> const drop{static_cast<float>(probability),
                                  static_cast<Acc>(1 / (1 - probability))};
    for_random(key, first, x.count(), uniforms,
               [=, in = x.data<T>(), out = y.data<T>()](float const* u, int64_t i, int64_t n) {
                 simd(0, n, [=](int64_t j) { out[i + j] = drop(u[j], in[i + j]); });
               });
  });
}

}  // namespace core::cpu
