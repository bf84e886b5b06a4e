#include "core/cuda/cublas.h"
#include <array>
#include <cublasLt.h>
#include <limits>
#include <map>
#include <span>
#include "core/cuda/alignment.h"
#include "core/cuda/cublas_product.h"
#include "core/cuda/handle.h"
#include "core/cuda/workspace.h"

namespace core::cuda {

namespace {

// NVIDIA's recommendation for Hopper; other GPUs need less. A product allocates only what its
// algorithm requires.
constexpr size_t most_workspace = size_t{32} << 20;
constexpr int most_algorithms = 12;  ///< algorithms that are compared for a shape

void check(cublasStatus_t status, Place at = Place::here()) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail({"cuBLAS: ", at}, cublasLtGetStatusString(status), " (", cublasLtGetStatusName(status), ')');
}

using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

Handle make_handle() {
  cublasLtHandle_t handle = nullptr;
  check(cublasLtCreate(&handle));
  return Handle(handle);
}

cudaDataType type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return CUDA_R_32F;
    case Dtype::f64:
      return CUDA_R_64F;
    case Dtype::bf16:
      return CUDA_R_16BF;
    default:
      fail("matmul supports f32, f64 and bf16, not ", dtype);
  }
}

/// Compute type: sums are f64 for f64, f32 for f32 and bf16.
cublasComputeType_t compute_type(Dtype dtype, Options const& options) {
  if (dtype == Dtype::f64) return CUBLAS_COMPUTE_64F;
  bool const tf32 = dtype == Dtype::f32 && options.tf32;
  return tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

Layout layout_of(Product::Matrix const& matrix, Dtype dtype) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, type_of(dtype), static_cast<uint64_t>(matrix.rows),
                                   static_cast<uint64_t>(matrix.columns), matrix.leading));
  return Layout(layout);
}

Operation operation_of(Product const& product, Dtype dtype, Options const& options) {
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, compute_type(dtype, options),
                                 type_of(accumulator(dtype))));
  Operation owned(operation);
  auto const transpose = [&](cublasLtMatmulDescAttributes_t name, Transpose value) {
    int32_t const number = value == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(operation, name, &number, sizeof number));
  };
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, product.transpose_first);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, product.transpose_second);
  return owned;
}

/// Restricts the choice of algorithms. If an algorithm splits the inner dimension, it must add the
/// parts in a separate step and in the type of the sums. The other schemes round the parts to the
/// result's type, possibly bf16, or add them in place, one after the other.
Preference preference_of(int64_t alignment) {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference));
  Preference owned(preference);
  auto const set = [&](cublasLtMatmulPreferenceAttributes_t name, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{most_workspace});
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  for (auto const name :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(name, static_cast<uint32_t>(alignment));
  return owned;
}

struct Plan {
  Operation operation;
  Layout first, second, result;
  cublasLtMatmulHeuristicResult_t algorithm;
};

/// Cache key: dtypes, transposes, sizes and pitch of a, columns of c, alignment.
using Key = std::array<int64_t, 9>;

}  // namespace

struct CuBlas::State {
  State(StreamHandle stream, Options const& options) : stream(stream), options(options) {}

  Plan const& plan(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, Tensor& c) {
    int64_t const alignment = common_alignment({a.raw(), b.raw(), c.raw()}, 256);
    Key const key{static_cast<int64_t>(a.dtype()),
                  static_cast<int64_t>(c.dtype()),
                  static_cast<int64_t>(ta),
                  static_cast<int64_t>(tb),
                  a.rows(),
                  a.count,
                  a.pitch(),
                  c.size(1),
                  alignment};
    if (auto const found = plans.find(key); found != plans.end()) return found->second;
    Product const product =
        product_of({a.rows(), a.count}, a.pitch(), ta, b.shape(), tb, c.shape());
    Plan made{operation_of(product, a.dtype(), options),
              layout_of(product.first, b.dtype()),
              layout_of(product.second, a.dtype()),
              layout_of(product.result, c.dtype()),
              {}};
    choose(made, alignment, a, b, c);
    return plans.emplace(key, std::move(made)).first->second;
  }

  /// Chooses the fastest of cuBLASLt's suggestions, or its first where the choice must be the same
  /// in each run or where time cannot be measured.
  void choose(Plan& plan, int64_t alignment, Columns const& a, Tensor const& b, Tensor& c) const {
    bool const measured = !options.deterministic && !capturing(stream);
    std::array<cublasLtMatmulHeuristicResult_t, most_algorithms> all;
    int found = 0;
    auto const status = cublasLtMatmulAlgoGetHeuristic(
        handle.get(), plan.operation.get(), plan.first.get(), plan.second.get(), plan.result.get(),
        plan.result.get(), preference_of(alignment).get(), measured ? most_algorithms : 1,
        all.data(), &found);
    core::check(
        status == CUBLAS_STATUS_SUCCESS && found >= 1 && all[0].state == CUBLAS_STATUS_SUCCESS,
        "cuBLAS has no algorithm for the product of ", shape(a), ' ', a.dtype(), " and ", b.shape(),
        ' ', b.dtype(), " into ", c.shape(), ' ', c.dtype(), ": ", cublasLtGetStatusString(status));
    plan.algorithm = all[0];
    if (found > 1) measure({all.data(), static_cast<size_t>(found)}, plan, a, b, c);
  }

  /// Sets the plan's algorithm to the fastest. Results go to memory of their own, because c may be
  /// an input as well.
  void measure(std::span<cublasLtMatmulHeuristicResult_t const> algorithms, Plan& plan,
               Columns const& a, Tensor const& b, Tensor& c) const try {
    Tensor scratch = empty_like(c);
    scratch.device().kernels().fill(0, scratch);
    float least = std::numeric_limits<float>::max();
    auto best = plan.algorithm;
    for (auto const& algorithm : algorithms) {
      if (algorithm.state != CUBLAS_STATUS_SUCCESS) continue;
      plan.algorithm = algorithm;
      float const taken = time_of(plan, a, b, scratch);
      if (taken >= least) continue;
      least = taken;
      best = algorithm;
    }
    plan.algorithm = best;
  } catch (OutOfMemory const&) {
    plan.algorithm = algorithms[0];
  }

  /// Milliseconds of a few products, after one that is not measured.
  float time_of(Plan const& plan, Columns const& a, Tensor const& b, Tensor& c) const {
    constexpr int repetitions = 4;
    Event const begin = make_timer(), end = make_timer();
    run(plan, a, b, 1, 1, c);
    cuda::check(cudaEventRecord(begin.get(), stream));
    for (int i = 0; i < repetitions; ++i) run(plan, a, b, 1, 1, c);
    cuda::check(cudaEventRecord(end.get(), stream));
    cuda::check(cudaEventSynchronize(end.get()));
    float taken = 0;
    cuda::check(cudaEventElapsedTime(&taken, begin.get(), end.get()));
    return taken;
  }

  void run(Plan const& plan, Columns const& a, Tensor const& b, double alpha, double beta,
           Tensor& c) const {
    if (a.dtype() == Dtype::f64)
      multiply<double>(plan, a, b, alpha, beta, c);
    else
      multiply<float>(plan, a, b, alpha, beta, c);
  }

  template <class Scalar>
  void multiply(Plan const& plan, Columns const& a, Tensor const& b, double alpha, double beta,
                Tensor& c) const {
    auto const scale = static_cast<Scalar>(alpha), keep = static_cast<Scalar>(beta);
    Workspace workspace(c.device(), static_cast<int64_t>(plan.algorithm.workspaceSize));
    auto const status = cublasLtMatmul(
        handle.get(), plan.operation.get(), &scale, b.raw(), plan.first.get(), a.raw(),
        plan.second.get(), &keep, c.raw(), plan.result.get(), c.raw(), plan.result.get(),
        &plan.algorithm.algo, workspace.data(), plan.algorithm.workspaceSize, stream);
    core::check(status == CUBLAS_STATUS_SUCCESS, "cuBLAS failed to multiply ", shape(a), ' ',
                a.dtype(), " and ", b.shape(), " into ", c.shape(), ' ', c.dtype(), ": ",
                cublasLtGetStatusString(status));
  }

  static Shape shape(Columns const& a) { return {a.rows(), a.count}; }

  StreamHandle stream;
  Options options;
  Handle handle = make_handle();
  std::map<Key, Plan> plans;
};

CuBlas::CuBlas(StreamHandle stream, Options const& options)
    : state_(std::make_unique<State>(stream, options)) {}
CuBlas::~CuBlas() = default;

void CuBlas::matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                    double beta, Tensor& c) {
  state_->run(state_->plan(a, ta, b, tb, c), a, b, alpha, beta, c);
}

}  // namespace core::cuda
