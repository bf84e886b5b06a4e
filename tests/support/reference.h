#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>
#include "core/device.h"
#include "core/kernels.h"
#include "core/tape.h"

/// Reference values for tests: random tensors, their values as doubles, relative distances, and
/// gradients by central differences.
namespace tests {

/// Rounding error of one f32 operation, of f32 sums of some hundred terms, and of bf16 with its 8
/// bits of significand.
inline constexpr double f32_elementwise = 1e-6, f32_reduction = 1e-5, bf16_rounding = 1e-2;

/// Creates a tensor of the given values, rounded to T.
template <class T>
core::Tensor tensor(core::Device& device, core::Shape shape, std::vector<double> const& values) {
  core::Tensor t(device, std::move(shape), core::dtype_of<T>);
  REQUIRE(static_cast<size_t>(t.count()) == values.size());
  std::vector<T> host;
  for (double const value : values) host.push_back(T(value));
  device.upload(host.data(), t);
  return t;
}

inline core::Tensor tensor(core::Device& device, core::Shape shape, core::Dtype dtype,
                           std::vector<double> const& values) {
  return core::visit_floating(dtype, [&]<class T>() { return tensor<T>(device, shape, values); });
}

/// Standard normal numbers; apart from rounding, they are the same for every dtype.
inline core::Tensor random(core::Device& device, core::Shape const& shape, core::Dtype dtype,
                           unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> draw;
  std::vector<double> values(static_cast<size_t>(core::count(shape)));
  for (double& value : values) value = draw(rng);
  return tensor(device, shape, dtype, values);
}

inline std::vector<double> values(core::Tensor const& t) {
  return core::visit(t.dtype(), [&]<class T>() {
    std::vector<T> host(static_cast<size_t>(t.count()));
    t.device().download(t, host.data());
    std::vector<double> wide;
    for (T const value : host) wide.push_back(static_cast<double>(value));
    return wide;
  });
}

/// Returns the value of a tensor with one element.
inline double value(core::Tensor const& t) {
  REQUIRE(t.count() == 1);
  return values(t)[0];
}

/// The raw memory of a tensor, for comparisons that require equal bits, including those of NaN.
inline std::string bytes(core::Tensor const& t) {
  std::string host(t.bytes(), '\0');
  t.device().download(t, host.data());
  return host;
}

/// The same numbers in another floating dtype. A conversion from f64 to bf16 and back yields an
/// exact f64 input for the reference of a bf16 kernel.
inline core::Tensor as(core::Tensor const& t, core::Dtype dtype) {
  return tensor(t.device(), t.shape(), dtype, values(t));
}

/// ||a - b|| / ||b|| over all elements; 0 if they are equal. A NaN anywhere yields NaN, which fails
/// any `< bound`.
inline double distance(std::vector<double> const& a, std::vector<double> const& b) {
  REQUIRE(a.size() == b.size());
  double gap = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    gap += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return gap == 0 ? 0 : std::sqrt(gap / size);
}

inline double distance(core::Tensor const& a, core::Tensor const& b) {
  REQUIRE(a.shape() == b.shape());
  return distance(values(a), values(b));
}

inline double inner(core::Tensor const& a, core::Tensor const& b) {
  auto const x = values(a), y = values(b);
  REQUIRE(x.size() == y.size());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

/// Rounding error of sums over products of rounded numbers, as stored by a kernel in `dtype`.
inline double tolerance(core::Dtype dtype) {
  return dtype == core::Dtype::bf16 ? bf16_rounding : f32_reduction;
}

/// Returns false, with a warning in the output, if the device cannot multiply in `dtype`: oneDNN's
/// bf16 requires AVX-512. A test that then returns is skipped, not passed.
inline bool can_multiply(core::Device& device, core::Dtype dtype) {
  core::Tensor const one = tensor(device, {1, 1}, dtype, {1});
  core::Tensor product = core::empty_like(one);
  auto const plain = core::Transpose::no;
  try {
    device.kernels().matmul(one, plain, one, plain, 1, 0, product);
  } catch (core::Error const& error) {
    if (!device.on_host()) throw;  // every GPU can
    WARN("skipped: " << error.what());
    return false;
  }
  return true;
}

/// Checks d<dy, f(x)>/dx of f(tape, x), for a random dy, against central differences at every
/// element of the f64 tensor x. The error of the differences is about 1e-10, relative.
template <class F>
void gradient_holds(core::Device& device, core::Tensor const& x, F f, double step = 1e-5,
                    double bound = 1e-7) {
  core::Tape tape;
  auto const in = tape.input(x);
  auto const out = f(tape, in);
  auto const dy = random(device, out.value.shape(), core::Dtype::f64, 7);
  tape.backward(out, dy);
  auto const at = [&](std::vector<double> const& point) {
    core::Tape forward;
    return inner(f(forward, forward.input(tensor<double>(device, x.shape(), point))).value, dy);
  };
  std::vector<double> point = values(x), slope;
  for (double& value : point) {
    double const kept = std::exchange(value, value + step);
    double const up = at(point);
    value = kept - step;
    slope.push_back((up - at(point)) / (2 * step));
    value = kept;
  }
  REQUIRE(tape.grad(in));
  CHECK(tape.grad(in).shape() == x.shape());
  CHECK(distance(values(tape.grad(in)), slope) < bound);
}

/// Central differences of loss() at every `every`-th element of the f64 tensor t, which loss()
/// reads.
template <class F>
std::vector<double> slopes(core::Tensor t, F const& loss, int64_t every = 1, double step = 1e-5) {
  std::vector<double> point = values(t), slope;
  auto const at = [&](size_t i, double value) {
    double const kept = std::exchange(point[i], value);
    t.device().upload(point.data(), t);
    point[i] = kept;
    return static_cast<double>(loss());
  };
  for (size_t i = 0; i < point.size(); i += static_cast<size_t>(every))
    slope.push_back((at(i, point[i] + step) - at(i, point[i] - step)) / (2 * step));
  t.device().upload(point.data(), t);
  return slope;
}

/// Checks the gradients that f(tape) leaves in f64 parameters against central differences of <dy,
/// f>, for a random dy, at about a hundred elements of each parameter.
template <class F>
void parameter_gradients_hold(core::Device& device, std::vector<core::Parameter*> const& parameters,
                              F const& f, double step = 1e-5, double bound = 1e-7) {
  core::Tape tape;
  auto const out = f(tape);
  auto const dy = random(device, out.value.shape(), core::Dtype::f64, 7);
  tape.backward(out, dy);
  for (auto* p : parameters) {
    if (!p->trainable()) continue;
    INFO(p->name);
    REQUIRE(p->grad);
    CHECK(p->grad.shape() == p->value.shape());
    auto const loss = [&] {
      core::Tape forward;
      return inner(f(forward).value, dy);
    };
    int64_t const every = p->value.count() / 100 + 1;
    auto const grad = values(p->grad);
    std::vector<double> picked;
    for (size_t i = 0; i < grad.size(); i += static_cast<size_t>(every)) picked.push_back(grad[i]);
    CHECK(distance(picked, slopes(p->value, loss, every, step)) < bound);
  }
}

}  // namespace tests
