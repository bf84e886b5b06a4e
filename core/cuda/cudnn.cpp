#include "core/cuda/cudnn.h"
#include <algorithm>
#include <limits>
#include <map>
#include "core/cuda/alignment.h"
#include "core/cuda/cudnn_plans.h"
#include "core/cuda/workspace.h"

namespace core::cuda {

namespace {

constexpr size_t most_measured = 8;  // plans measured per shape
constexpr int measured_runs = 3;     // timed runs per plan

using Handle = Owned<cudnnHandle_t, cudnnDestroy>;

Handle make_handle(StreamHandle stream) {
  cudnnHandle_t handle = nullptr;
  check(cudnnCreate(&handle));
  Handle owned(handle);
  check(cudnnSetStream(handle, stream));
  return owned;
}

/// Tensors of one call; `bias` may be empty. One of x, w and y is written.
struct Operands {
  Tensor const &x, &w, &y, &bias;

  Ints names() const {
    Ints names{operand_x, operand_w, operand_y};
    if (bias) names.push_back(operand_bias);
    return names;
  }
  std::vector<void*> addresses() const {
    std::vector<void*> addresses;
    for (Tensor const* t : {&x, &w, &y}) addresses.push_back(const_cast<std::byte*>(t->raw()));
    if (bias) addresses.push_back(const_cast<std::byte*>(bias.raw()));
    return addresses;
  }
  int64_t alignment() const {
    void const* const added = bias ? bias.raw() : nullptr;
    return common_alignment({x.raw(), w.raw(), y.raw(), added}, 16);
  }
};

}  // namespace

struct CuDnn::State {
  State(StreamHandle stream, Options const& options)
      : stream(stream), options(options), handle(make_handle(stream)), gpu(handle.get()) {}

  /// Queues a convolution.
  /// Throws: Error if cuDNN has no plan or the execution fails.
  void run(Pass pass, Operands const& operands, Window const& window,
           Store store = Store::replace) {
    auto const& [x, w, y, bias] = operands;
    Convolution const convolution{pass,   x.dtype(),  x.shape(), w.shape(),           y.shape(),
                                  window, bool(bias), store,     operands.alignment()};
    auto const status = execute(plan(convolution, operands), operands);
    if (status != CUDNN_STATUS_SUCCESS)
      fail("cuDNN failed to execute the ", convolution, ": ", explain(status));
  }

 private:
  cudnnStatus_t execute(Plan const& plan, Operands const& operands) const {
    Workspace workspace(operands.x.device(), plan.workspace);
    Descriptor const pack = variant_pack(operands.names(), operands.addresses(), workspace.data());
    return cudnnBackendExecute(handle.get(), plan.plan.raw(), pack.raw());
  }

  /// Returns the plan of a convolution: the fastest on these operands, whose result is overwritten;
  /// or the first choice of cuDNN's heuristic if results must be reproducible or the stream is
  /// being captured. Plans are never freed, because captured graphs use their kernels.
  Plan const& plan(Convolution const& convolution, Operands const& operands) {
    Ints const key = convolution.key();
    if (auto const found = plans.find(key); found != plans.end()) return found->second;
    bool const measured = !options.deterministic && !capturing(stream);
    auto [candidates, refused] = plans_of(convolution, gpu, options, measured ? most_measured : 1);
    core::check(!candidates.empty(), "cuDNN has no plan for the ", convolution, " with tf32 ",
                options.tf32, " and deterministic ", options.deterministic, ": ", refused);
    // A result that is added to must not be added to more than once.
    Tensor const other = convolution.store == Store::add ? empty_like(operands.x) : operands.x;
    size_t const best =
        measured ? fastest(candidates, {other, operands.w, operands.y, operands.bias}) : 0;
    return plans.emplace(key, std::move(candidates[best])).first->second;
  }

  size_t fastest(std::vector<Plan> const& candidates, Operands const& operands) const {
    std::vector<float> times;
    times.reserve(candidates.size());
    for (Plan const& plan : candidates) times.push_back(milliseconds(plan, operands));
    return static_cast<size_t>(std::min_element(times.begin(), times.end()) - times.begin());
  }

  /// Returns the time of several runs in milliseconds, after one run that loads the plan's kernels;
  /// waits for the stream. Returns infinity if the plan fails, for example for lack of memory:
  /// other plans may succeed, and if none does, run() throws.
  float milliseconds(Plan const& plan, Operands const& operands) const try {
    Event const begin = make_timer(), end = make_timer();
    check(execute(plan, operands));
    check(cudaEventRecord(begin.get(), stream));
    for (int i = 0; i < measured_runs; ++i) check(execute(plan, operands));
    check(cudaEventRecord(end.get(), stream));
    check(cudaEventSynchronize(end.get()));
    float time = 0;
    check(cudaEventElapsedTime(&time, begin.get(), end.get()));
    return time;
  } catch (Error const&) {
    return std::numeric_limits<float>::infinity();
  }

  StreamHandle stream;
  Options options;
  Handle handle;
  Gpu gpu;
  std::map<Ints, Plan> plans;
};

CuDnn::CuDnn(StreamHandle stream, Options const& options)
    : state_(std::make_unique<State>(stream, options)) {}
CuDnn::~CuDnn() = default;

void CuDnn::conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                   int64_t, Tensor& y) {
  Tensor added = bias;
  if (bias && bias.dtype() != y.dtype()) {
    added = Tensor(bias.device(), bias.shape(), y.dtype());
    bias.device().kernels().convert(bias, added);
  }
  state_->run(Pass::forward, {x, w, y, added}, window);
}

void CuDnn::conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window, int64_t,
                                  Store store, Tensor& dx) {
  state_->run(Pass::backward_input, {dx, w, dy, {}}, window, store);
}

void CuDnn::conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                    int64_t, Tensor& dw) {
  if (dw.dtype() == x.dtype()) return state_->run(Pass::backward_weights, {x, dw, dy, {}}, window);
  Tensor narrow(dw.device(), dw.shape(), x.dtype());
  state_->run(Pass::backward_weights, {x, narrow, dy, {}}, window);
  dw.device().kernels().convert(narrow, dw);
}

}  // namespace core::cuda
