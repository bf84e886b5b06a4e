#include "core/cuda/cudnn_plans.h"
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

using namespace core;
using namespace core::cuda;

namespace {

/// Properties of a GPU for which cuDNN creates plans although the GPU is not present: compute
/// capability, number of multiprocessors, bytes of shared memory per block, bytes of L2 cache.
struct Model {
  int capability;  ///< Compute capability times 100: 900 is 9.0.
  int processors;
  int shared;
  int cache;

  Gpu gpu() const {
    return Gpu::described(
        join(R"({"deviceVer": )", capability, R"(, "multiProcessorCount": )", processors,
             R"(, "maxSharedMemoryPerBlockOptin": )", shared, R"(, "l2CacheSize": )", cache,
             R"(, "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
                 "regsPerBlock": 65536, "warpSize": 32, "maxSharedMemoryPerBlock": 49152,
                 "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536,
                 "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048,
                 "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
                 "totalGlobalMem": 80000000000, "smClockRateKHz": 1500000,
                 "memClockRateKHz": 1500000, "cudaDeviceId": 0, "driverVer": 13000,
                 "deviceName": "described"})"));
  }
};

constexpr Model a100{800, 108, 166912, 41943040}, h100{900, 132, 232448, 52428800},
    b200{1000, 148, 232448, 132644864};

/// A convolution of images x (N, H, W, C) with `out` output channels.
Convolution convolution(Pass pass, Dtype dtype, Shape const& x, int64_t out, Window const& window,
                        int64_t groups = 1) {
  Shape const w{out, window.size.h, window.size.w, x[3] / groups};
  Shape const y{x[0], window.out_height(x[1]), window.out_width(x[2]), out};
  return {pass, dtype, x, w, y, window};
}

Convolution common(Pass pass, Dtype dtype) {
  return convolution(pass, dtype, {32, 56, 56, 64}, 64, {{3, 3}, {1, 1}, {1, 1}});
}

bool has(Plans const& plans, cudnnBackendNumericalNote_t note) {
  return std::any_of(plans.best_first.begin(), plans.best_first.end(), [&](Plan const& plan) {
    return std::find(plan.notes.begin(), plan.notes.end(), note) != plan.notes.end();
  });
}

}  // namespace

TEST_CASE("cudnn: every kind of convolution -> one allowed plan", "[cuda]") {
  auto const model = GENERATE(a100, h100, b200);
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const pass = GENERATE(Pass::forward, Pass::backward_input, Pass::backward_weights);
  auto const options = GENERATE(Options{}, Options{.tf32 = true}, Options{.deterministic = true});
  Gpu const gpu = model.gpu();
  Window const three{{3, 3}, {1, 1}, {1, 1}};
  for (Convolution c : {
           common(pass, dtype),
           convolution(pass, dtype, {32, 224, 224, 3}, 64, {{7, 7}, {2, 2}, {3, 3}}),
           convolution(pass, dtype, {32, 56, 56, 64}, 128, {{1, 1}, {2, 2}}),
           convolution(pass, dtype, {8, 28, 28, 1}, 10, three),
           convolution(pass, dtype, {3, 9, 11, 5}, 7, {{3, 2}, {2, 1}, {1, 0}, {1, 2}}),
           convolution(pass, dtype, {5, 1, 1, 33}, 31, {}),
           convolution(pass, dtype, {4, 30, 30, 16}, 16, {{3, 3}, {1, 1}, {2, 2}, {2, 2}}),
           convolution(pass, dtype, {32, 56, 56, 64}, 64, three, 64),
           convolution(pass, dtype, {32, 56, 56, 128}, 128, three, 32),
           convolution(pass, dtype, {3, 9, 11, 6}, 10, three, 2),
           convolution(pass, dtype, {2, 9, 9, 5}, 10, three, 5),
       })
    for (int64_t const alignment : {int64_t{16}, static_cast<int64_t>(size_of(dtype))}) {
      c.alignment = alignment;
      c.bias = pass == Pass::forward && alignment == 16;
      CAPTURE(model.capability, options.tf32, options.deterministic, alignment);
      auto const stores = pass == Pass::backward_input ? std::vector{Store::replace, Store::add}
                                                       : std::vector{Store::replace};
      for (Store const store : stores) {
        c.store = store;
        CAPTURE(join(c));
        Plans const plans = plans_of(c, gpu, options, 1);
        INFO(plans.refused);
        CHECK(plans.best_first.size() == 1);
        for (Plan const& plan : plans.best_first) CHECK(allowed(plan.notes, dtype, options));
      }
    }
}

TEST_CASE("cudnn: f32 -> tensor cores only with TF32; bf16 -> tensor cores", "[cuda]") {
  auto const model = GENERATE(a100, h100, b200);
  auto const pass = GENERATE(Pass::forward, Pass::backward_input, Pass::backward_weights);
  CAPTURE(model.capability, static_cast<int>(pass));
  auto const plans = [&](Dtype dtype, bool tf32) {
    return plans_of(common(pass, dtype), model.gpu(), {.tf32 = tf32}, 8);
  };
  CHECK_FALSE(has(plans(Dtype::f32, false), CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  CHECK(has(plans(Dtype::f32, true), CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  CHECK(has(plans(Dtype::bf16, false), CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
}

TEST_CASE("cudnn: nondeterministic plans -> used by default, excluded when deterministic",
          "[cuda]") {
  auto const pass = GENERATE(Pass::backward_input, Pass::backward_weights);
  auto const plans = [&](bool deterministic) {
    return plans_of(common(pass, Dtype::f32), a100.gpu(), {.deterministic = deterministic}, 8);
  };
  CHECK(has(plans(false), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
  CHECK_FALSE(has(plans(true), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
  CHECK_FALSE(plans(true).best_first.empty());
}

TEST_CASE("cudnn: numerical notes -> allowed or rejected by dtype, tf32 and deterministic",
          "[cuda]") {
  Options const exact, tf32{.tf32 = true}, repeatable{.deterministic = true};
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  bool const narrow = dtype == Dtype::bf16;
  CHECK(allowed({}, dtype, exact));
  CHECK(allowed({CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, CUDNN_NUMERICAL_NOTE_FFT}, dtype, exact));
  for (auto const note :
       {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION})
    CHECK_FALSE(allowed({CUDNN_NUMERICAL_NOTE_TENSOR_CORE, note}, dtype, tf32));
  for (auto const note :
       {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4,
        CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13}) {
    CHECK(allowed({note}, dtype, exact) == narrow);
    CHECK(allowed({note}, dtype, tf32));
  }
  CHECK(allowed({CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, dtype, exact));
  CHECK_FALSE(allowed({CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, dtype, repeatable));
}

TEST_CASE("cudnn: convolutions that differ in one property -> different plan keys", "[cuda]") {
  Window const window{{3, 3}, {1, 1}, {1, 1}};
  Shape const x{2, 8, 8, 4};
  auto const base = convolution(Pass::forward, Dtype::f32, x, 6, window);
  std::set<Ints> keys{base.key()};
  CHECK(keys.contains(convolution(Pass::forward, Dtype::f32, x, 6, window).key()));
  auto const differs = [&](auto const& change) {
    Convolution c = base;
    change(c);
    return keys.insert(c.key()).second;
  };
  CHECK(differs([](Convolution& c) { c.pass = Pass::backward_input; }));
  CHECK(differs([](Convolution& c) { c.pass = Pass::backward_weights; }));
  CHECK(differs([](Convolution& c) { c.dtype = Dtype::bf16; }));
  CHECK(differs([](Convolution& c) { c.bias = true; }));
  CHECK(differs([](Convolution& c) { c.store = Store::add; }));
  CHECK(differs([](Convolution& c) { c.alignment = 4; }));
  CHECK(differs([](Convolution& c) { c.x[0] = 3; }));
  CHECK(differs([](Convolution& c) { c.w[3] = 2; }));
  CHECK(differs([](Convolution& c) { c.y[1] = 7; }));
  CHECK(differs([](Convolution& c) { c.window.stride = {1, 2}; }));
  CHECK(differs([](Convolution& c) { c.window.padding = {1, 0}; }));
  CHECK(differs([](Convolution& c) { c.window.dilation = {2, 1}; }));
}

TEST_CASE("cudnn: operand without an address -> CUDNN_STATUS_BAD_PARAM", "[cuda]") {
  std::vector<float> memory(64);
  void *const x = memory.data(), *const y = memory.data() + 32;
  CHECK_NOTHROW(variant_pack({operand_x, operand_y}, {x, y}, nullptr));
  CHECK_THROWS_WITH(variant_pack({operand_x, operand_y}, {x}, nullptr),
                    Catch::Contains("cuDNN: CUDNN_STATUS_BAD_PARAM"));
}

TEST_CASE("cudnn: images of (N, H, W, C) -> channels-last descriptor", "[cuda]") {
  Descriptor image = channels_last(operand_x, Dtype::bf16, {2, 3, 5, 7}, 2);
  REQUIRE(image.finalise() == CUDNN_STATUS_SUCCESS);
  CHECK(image.get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, 8) == Ints{2, 7, 3, 5});  // N, C, H, W
  CHECK(image.get<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, 8) == Ints{105, 1, 35, 7});
  CHECK(image.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE, 1).at(0) == CUDNN_DATA_BFLOAT16);
}

TEST_CASE("cudnn: unsupported dtype, wrong shape or invalid GPU -> error with the convolution",
          "[cuda]") {
  Gpu const gpu = h100.gpu();
  Convolution c = convolution(Pass::forward, Dtype::f64, {2, 8, 8, 4}, 6, {});
  CHECK_THROWS_WITH(plans_of(c, gpu, {}, 1), Catch::Contains("f32 and bf16, not f64"));
  c.dtype = Dtype::f32;
  c.y[1] = 5;  // must be 8
  CHECK_THROWS_WITH(plans_of(c, gpu, {}, 1), Catch::Contains("cuDNN: CUDNN_STATUS_BAD_PARAM") &&
                                                 Catch::Contains("cudnn_convolution.cpp:"));
  CHECK(join(c) ==
        "convolution, f32, images (2, 8, 8, 4), weights (6, 1, 1, 4), result (2, 5, 8, 6), "
        "stride (1, 1), padding (0, 0), dilation (1, 1)");
  CHECK_THROWS_WITH(Gpu::described("{"), Catch::Contains("cuDNN: "));
}
