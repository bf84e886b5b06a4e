// How core/cuda chooses among the algorithms and plans of cuBLASLt and cuDNN: the stand-ins offer
// inaccurate ones, which the options must exclude.
#include "core/cuda/open.h"
#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

using Values = std::vector<double>;

/// Different in rows and columns.
constexpr Window window{{3, 2}, {2, 1}, {1, 0}, {1, 2}};

/// Results that depend on the choice of algorithms: products, and a convolution with its gradients.
struct Results {
  Tensor product, wide, y, dx, dw;
  Tensor added;  ///< x with the gradient of the input added

  /// All operands begin `first` rows into memory, so that their alignment is that of `first` rows
  /// of an odd size.
  Results(Device& device, Dtype dtype, int64_t first = 0) {
    auto const operand = [&](Shape shape, uint64_t seed) {
      shape[0] += first;
      return tests::random(device, shape, dtype, seed).rows(first, shape[0]);
    };
    Tensor const a = operand({257, 17}, 1), b = operand({257, 31}, 2);
    Tensor const x = operand({2, 7, 7, 5}, 3), w = operand({6, 3, 2, 5}, 4);
    Tensor const dy = operand({2, window.out_height(7), window.out_width(7), 6}, 5);
    Tensor const bias = tests::random(device, {6}, accumulator(dtype), 6);
    product = tests::random(device, {17, 31}, dtype, 7);
    wide = Tensor(device, {17, 31}, accumulator(dtype));
    y = empty_like(dy);
    dx = empty_like(x);
    added = clone(x);
    dw = Tensor(device, w.shape(), accumulator(dtype));
    Kernels& kernels = device.kernels();
    kernels.matmul(a, Transpose::yes, b, Transpose::no, 1, 0.5, product);
    kernels.matmul(a, Transpose::yes, b, Transpose::no, 1, 0, wide);
    kernels.conv2d(x, w, bias, window, 1, y);
    kernels.conv2d_backward_input(dy, w, window, 1, Store::replace, dx);
    kernels.conv2d_backward_input(dy, w, window, 1, Store::add, added);
    kernels.conv2d_backward_weights(x, dy, window, 1, dw);
  }

  /// Relative distances of the results.
  Values distances(Results const& other) const {
    Values distances;
    for (auto const member : {&Results::product, &Results::wide, &Results::y, &Results::dx,
                              &Results::dw, &Results::added})
      distances.push_back(
          tests::distance(tests::values(this->*member), tests::values(other.*member)));
    return distances;
  }
};

void check_close(Results const& results, Results const& reference, Dtype dtype) {
  for (double const distance : results.distances(reference))
    CHECK(distance < tests::tolerance(dtype));
}

std::unique_ptr<Device> gpu(cuda::Options const& options) { return cuda::open(0, options); }

}  // namespace

TEST_CASE("libraries: f32 and bf16 -> the CPU's results, whatever plan is measured as fastest") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(tests::host(), dtype)) return;
  auto const run = GENERATE(range(0, 8));
  CAPTURE(dtype, run);
  auto const device = gpu({});
  check_close(Results(*device, dtype), Results(tests::host(), dtype), dtype);
}

TEST_CASE("libraries: f32 with tf32 -> inputs are rounded to TF32; without it they are not") {
  auto const rounded = gpu({.tf32 = true, .deterministic = true}), exact = gpu({.tf32 = false});
  Results const reference(tests::host(), Dtype::f32);
  check_close(Results(*exact, Dtype::f32), reference, Dtype::f32);
  for (double const distance : Results(*rounded, Dtype::f32).distances(reference)) {
    CHECK(distance > tests::f32_reduction);
    CHECK(distance < 1e-3);
  }
}

TEST_CASE("libraries: deterministic -> the same bits on two devices") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  CAPTURE(dtype);
  auto const one = gpu({.deterministic = true}), two = gpu({.deterministic = true});
  CHECK(Results(*one, dtype).distances(Results(*two, dtype)) == Values(6));
}

TEST_CASE("libraries: an operand less aligned than before -> another plan") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(tests::host(), dtype)) return;
  CAPTURE(dtype);
  auto const device = gpu({});
  for (int64_t const first : {0, 1})
    check_close(Results(*device, dtype, first), Results(tests::host(), dtype, first), dtype);
}
