// The stand-in for cuDNN: what it computes and what it refuses.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <utility>
#include "core/cuda/cudnn_plans.h"
#include "tests/support/fake_cuda/fake_cuda.h"

namespace fake_cuda = tests::fake_cuda;
using core::Error;
using core::cuda::check;
using core::cuda::Descriptor;
using core::cuda::Gpu;
using core::cuda::Ints;
using core::cuda::make_stream;
using core::cuda::Notes;
using core::cuda::Stream;
using core::cuda::variant_pack;

namespace {

using Values = std::vector<float>;
using Handle = core::cuda::Owned<cudnnHandle_t, cudnnDestroy>;

size_t misuses() { return fake_cuda::take_misuses().size(); }

/// Checks that `call` throws an error with this status, and that one misuse was reported.
template <class F>
void check_refused(char const* status, F const& call) {
  CHECK_THROWS_WITH(call(), Catch::Contains(status));
  CHECK(misuses() == 1);
}

Descriptor finalized(Descriptor descriptor) {
  check(descriptor.finalise());
  return descriptor;
}

Descriptor tensor(int64_t uid, Ints const& sizes, Ints const& strides, int64_t alignment = 16) {
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, sizes)
      .set(CUDNN_ATTR_TENSOR_STRIDES, strides)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  return tensor;
}

Descriptor window() {
  Descriptor window(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  window.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Ints{0, 0})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Ints{0, 0})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Ints{1, 1})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Ints{1, 1});
  return window;
}

Descriptor backward_data(Descriptor const& dx, Descriptor const& w, Descriptor const& dy,
                         float beta) {
  Descriptor operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, dx)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, w)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, dy)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, finalized(window()))
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, beta);
  return operation;
}

/// A stream, a handle, and memory for x, w, y and any workspace.
struct Session {
  static constexpr size_t floats = 2048;

  Session() {
    cudnnHandle_t made = nullptr;
    check(cudnnCreate(&made));
    handle.reset(made);
    check(cudnnSetStream(made, stream.get()));
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, 0));
    void* data = nullptr;
    check(cudaMallocFromPoolAsync(&data, (size_t{1} << 30) + (1 << 20), pool, stream.get()));
    memory = static_cast<float*>(data);
  }
  ~Session() { free(); }
  Session(Session const&) = delete;
  Session& operator=(Session const&) = delete;

  void free() {
    if (!memory) return;
    check(cudaFreeAsync(std::exchange(memory, nullptr), stream.get()));
    check(cudaStreamSynchronize(stream.get()));
  }
  float* x() const { return memory; }
  float* w() const { return memory + floats; }
  float* y() const { return memory + 2 * floats; }
  float* workspace() const { return memory + 3 * floats; }

  void write(float* to, Values const& values) const {
    check(cudaMemcpyAsync(to, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice,
                          stream.get()));
  }
  Values read(float const* from, size_t count) const {
    Values values(count);
    check(cudaMemcpyAsync(values.data(), from, count * sizeof(float), cudaMemcpyDeviceToHost,
                          stream.get()));
    check(cudaStreamSynchronize(stream.get()));
    return values;
  }

  /// Engine configurations of an operation, best first.
  std::vector<Descriptor> configs(Descriptor const& operation) const {
    Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation)
        .set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle.get());
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, finalized(std::move(graph)))
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A);
    return finalized(std::move(heuristics))
        .get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  }
  Descriptor plan(Descriptor const& config) const {
    Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config)
        .set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle.get());
    return plan;
  }
  cudnnStatus_t execute(Descriptor const& plan, Descriptor const& pack) const {
    return cudnnBackendExecute(handle.get(), plan.raw(), pack.raw());
  }
  Descriptor pack() const { return variant_pack({1, 2, 3}, {x(), w(), y()}, workspace()); }

  Stream stream = make_stream();
  Handle handle;
  float* memory = nullptr;
};

Notes notes_of(Descriptor const& config) {
  return config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR)
      .at(0)
      .get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, 10);
}

int64_t workspace_of(Descriptor const& plan) {
  return plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1).at(0);
}

/// Gradient of an image of 64 pixels with 4 channels, by weights of one pixel.
Descriptor gradient(float beta = 0, int64_t alignment = 16) {
  return finalized(backward_data(finalized(tensor(1, {1, 4, 8, 8}, {256, 1, 32, 4}, alignment)),
                                 finalized(tensor(2, {4, 4, 1, 1}, {4, 1, 4, 4}, alignment)),
                                 finalized(tensor(3, {1, 4, 8, 8}, {256, 1, 32, 4}, alignment)),
                                 beta));
}

/// Returns the first plan of an engine without notes, and with a workspace.
Descriptor plain_plan(Session const& session, Descriptor const& operation) {
  for (Descriptor const& config : session.configs(operation)) {
    Descriptor plan = session.plan(config);
    if (notes_of(config) == Notes{CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP})
      return finalized(std::move(plan));
  }
  throw Error("no plan");
}

}  // namespace

TEST_CASE("stand-in for cuDNN: strides of NCHW -> read and written as such; beta adds") {
  Session const session;
  // Two channels of 1 x 2 pixels; dx = wᵀ dy per pixel, with w = (1 2; 3 4).
  auto const operation = [&](float beta) {
    return finalized(backward_data(finalized(tensor(1, {1, 2, 1, 2}, {4, 2, 2, 1})),
                                   finalized(tensor(2, {2, 2, 1, 1}, {2, 1, 2, 2})),
                                   finalized(tensor(3, {1, 2, 1, 2}, {4, 2, 2, 1})), beta));
  };
  float const nan = std::numeric_limits<float>::quiet_NaN();
  session.write(session.w(), {1, 2, 3, 4});
  session.write(session.y(), {1, 10, 100, 1000});
  session.write(session.x(), {nan, nan, nan, nan});
  auto const run = [&](float beta) {
    check(session.execute(plain_plan(session, operation(beta)), session.pack()));
    return session.read(session.x(), 4);
  };
  CHECK(run(0) == Values{301, 3010, 402, 4020});
  CHECK(run(1) == Values{602, 6020, 804, 8040});
}

TEST_CASE("stand-in for cuDNN: engines that f32 must not use -> inaccurate results") {
  Session const session;
  Values w(16), y(256);
  for (size_t i = 0; i < w.size(); ++i) w[i] = std::sin(1.0f + static_cast<float>(i));
  for (size_t i = 0; i < y.size(); ++i) y[i] = std::cos(0.1f * static_cast<float>(i));
  session.write(session.w(), w);
  session.write(session.y(), y);
  auto const result = [&](Descriptor const& plan) {
    check(session.execute(plan, session.pack()));
    return session.read(session.x(), 256);
  };
  Values const exact = result(plain_plan(session, gradient()));
  size_t plans = 0, refused = 0, large = 0, inaccurate = 0;
  for (Descriptor const& config : session.configs(gradient())) {
    Descriptor plan = session.plan(config);
    if (plan.finalise() != CUDNN_STATUS_SUCCESS) {
      ++refused;
      continue;
    }
    ++plans;
    large += workspace_of(plan) > int64_t{1} << 30;
    Values const values = result(plan);
    double gap = 0;
    for (size_t i = 0; i < 256; ++i) gap = std::max(gap, std::fabs(double{values[i]} - exact[i]));
    bool const allowed = core::cuda::allowed(notes_of(config), core::Dtype::f32, {});
    CHECK((gap < 1e-6) == allowed);
    inaccurate += !allowed;
  }
  CHECK(plans > 6);
  CHECK(refused == 1);
  CHECK(large == 1);
  CHECK(inaccurate == 4);
  CHECK(misuses() == 0);
}

TEST_CASE("stand-in for cuDNN: a nondeterministic engine -> other last bits for each plan") {
  Session const session;
  session.write(session.w(), Values(16, 1.1f));
  session.write(session.y(), Values(256, 1.3f));
  auto const configs = session.configs(gradient());
  REQUIRE(notes_of(configs[0]) == Notes{CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC});
  auto const run = [&] {
    check(session.execute(finalized(session.plan(configs[0])), session.pack()));
    return session.read(session.x(), 256);
  };
  CHECK(run() != run());
}

TEST_CASE("stand-in for cuDNN: wrong attributes -> refused and reported") {
  Descriptor t = tensor(1, {1, 2, 3, 4}, {24, 1, 8, 2});
  check_refused("BAD_PARAM_ATTRIBUTE_TYPE", [&] { t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1.0f); });
  check_refused("BAD_PARAM", [&] { t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, Ints{1, 2}); });
  check_refused("BAD_PARAM", [&] { t.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Ints{1, 1}); });
  check_refused("NOT_INITIALIZED", [&] { t.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1); });
  check(t.finalise());
  check_refused("BAD_PARAM", [&] { t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, int64_t{2}); });
  check_refused("BAD_PARAM", [&] { check(t.finalise()); });
  check_refused("BAD_PARAM_ATTRIBUTE_TYPE", [&] { t.get<float>(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1); });

  for (auto const& [sizes, strides, alignment] : {std::tuple{Ints{1, 2, 3}, Ints{24, 1, 8, 2}, 16},
                                                  {{1, 0, 3, 4}, {24, 1, 8, 2}, 16},
                                                  {{1, 2, 3, 4}, {24, -1, 8, 2}, 16},
                                                  {{1, 2, 3, 4}, {24, 1, 7, 2}, 16},
                                                  {{1, 2, 3, 4}, {24, 1, 8, 2}, 6}})
    check_refused("BAD_PARAM", [&, &sizes = sizes, &strides = strides, &alignment = alignment] {
      finalized(tensor(1, sizes, strides, alignment));
    });
  check_refused("BAD_PARAM", [] { finalized(Descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR)); });
}

TEST_CASE("stand-in for cuDNN: operations that do not fit -> refused and reported") {
  auto const dy = finalized(tensor(3, {1, 2, 2, 2}, {8, 1, 4, 2}));
  auto const w = finalized(tensor(2, {2, 4, 1, 1}, {4, 1, 4, 4}));
  Descriptor const open = tensor(1, {1, 4, 2, 2}, {16, 1, 8, 4});
  check_refused("BAD_PARAM_NOT_FINALIZED", [&] { backward_data(open, w, dy, 0); });
  check_refused("BAD_PARAM_DESCRIPTOR_TYPE", [&] { backward_data(finalized(window()), w, dy, 0); });
  check_refused("BAD_PARAM", [&] {  // 3 rows
    finalized(backward_data(finalized(tensor(1, {1, 4, 3, 2}, {24, 1, 8, 4})), w, dy, 0));
  });
  check_refused("BAD_PARAM", [&] {  // 3 channels
    finalized(backward_data(finalized(tensor(1, {1, 3, 2, 2}, {12, 1, 6, 3})), w, dy, 0));
  });
  check_refused("BAD_PARAM_DUPLICATED_ENTRIES", [&] {
    Session().configs(
        finalized(backward_data(finalized(tensor(2, {1, 4, 2, 2}, {16, 1, 8, 4})), w, dy, 0)));
  });
  check_refused("BAD_PARAM",
                [] { finalized(Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)); });
}

TEST_CASE("stand-in for cuDNN: executions that break the plan's promises -> refused, reported") {
  Session const session;
  Descriptor const plan = plain_plan(session, gradient());
  float *const x = session.x(), *const w = session.w(), *const y = session.y();
  float* const workspace = session.workspace();
  auto const execute = [&](Ints const& uids, std::vector<void*> const& addresses, void* space) {
    check(session.execute(plan, variant_pack(uids, addresses, space)));
  };
  check_refused("BAD_PARAM", [&] { execute({1, 2}, {x, w}, workspace); });
  check_refused("BAD_PARAM", [&] { execute({1, 2, 4}, {x, w, y}, workspace); });
  check_refused("BAD_PARAM", [&] { execute({1, 2, 2}, {x, w, y}, workspace); });
  check_refused("BAD_PARAM_NULL_POINTER", [&] { execute({1, 2, 3}, {x, w, nullptr}, workspace); });
  check_refused("MISALIGNED_POINTER", [&] { execute({1, 2, 3}, {x, w + 1, y}, workspace); });
  check_refused("BAD_PARAM", [&] { execute({1, 2, 3}, {x, w, x + 4}, workspace); });
  check_refused("BAD_PARAM_NULL_POINTER", [&] { execute({1, 2, 3}, {x, w, y}, nullptr); });
  check_refused("MISALIGNED_POINTER", [&] { execute({1, 2, 3}, {x, w, y}, workspace + 1); });
  check_refused("BAD_PARAM", [&] { execute({1, 2, 3}, {x, w, y}, y); });
  check_refused("BAD_PARAM_DESCRIPTOR_TYPE",
                [&] { check(session.execute(session.pack(), session.pack())); });
}

TEST_CASE("stand-in for cuDNN: a freed operand -> reported when the plan runs") {
  Session session;
  Descriptor const plan = plain_plan(session, gradient());
  Descriptor const pack = session.pack();
  session.free();
  check(session.execute(plan, pack));
  fake_cuda::finish();
  CHECK(misuses() == 1);
}

TEST_CASE("stand-in for cuDNN: a plan -> overwrites its workspace") {
  Session const session;
  session.write(session.workspace(), {1, 2, 3});
  check(session.execute(plain_plan(session, gradient()), session.pack()));
  CHECK(std::isnan(session.read(session.workspace(), 1)[0]));
}
