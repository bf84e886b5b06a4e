// Stand-in for cuBLASLt.
#include <cstring>
#include "tests/support/fake_cuda/cublaslt_product.h"

struct cublasLtContext {};

namespace tests::fake_cuda::cublaslt {
namespace {

template <class F>
cublasStatus_t status_of(F const& call) {
  try {
    call();
    return CUBLAS_STATUS_SUCCESS;
  } catch (Refused const& refused) {
    return refused.status;
  }
}

double scalar(cudaDataType type, void const* value) {
  require(value != nullptr, "alpha or beta is a null pointer");
  return type == CUDA_R_64F ? *static_cast<double const*>(value)
                            : *static_cast<float const*>(value);
}

/// Creates the object behind a handle, which is an opaque pointer.
template <class Handle, class T>
void create(Handle* handle, T const& value) {
  require(handle != nullptr, "no place for a handle");
  *handle = reinterpret_cast<Handle>(new T(value));
}

template <class T>
cublasStatus_t destroy(void* handle) {
  delete static_cast<T*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

/// Sets an attribute of the type T, if `values` has it.
template <class Name, class T>
void set(std::map<Name, T>& values, Name name, void const* data, size_t bytes) {
  auto const found = values.find(name);
  require(found != values.end(), core::join("unknown attribute ", static_cast<int>(name)));
  require(
      data != nullptr && bytes == sizeof(T),
      core::join("attribute ", static_cast<int>(name), " has ", sizeof(T), " bytes, not ", bytes));
  std::memcpy(&found->second, data, sizeof(T));
}

void require_handle(cublasLtHandle_t handle) {
  if (handle) return;
  misuse("cuBLASLt: no handle");
  throw Refused{CUBLAS_STATUS_NOT_INITIALIZED};
}

}  // namespace
}  // namespace tests::fake_cuda::cublaslt

using namespace tests::fake_cuda;
using namespace tests::fake_cuda::cublaslt;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return status_of([&] { create(handle, cublasLtContext()); });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy<cublasLtContext>(handle); }

char const* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "unrecognized status";
  }
}

char const* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
    default:
      return "unrecognized status";
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t pitch) {
  return status_of([&] { create(layout, Layout{type, rows, columns, pitch}); });
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy<Layout>(layout);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                        cublasComputeType_t compute, cudaDataType_t scale) {
  return status_of([&] { create(operation, Operation{compute, scale}); });
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return destroy<Operation>(operation);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t name, void const* data,
                                              size_t bytes) {
  return status_of([&] { set(described<Operation>(operation).values, name, data, bytes); });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return status_of([&] { create(preference, Preference()); });
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy<Preference>(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    void const* data, size_t bytes) {
  return status_of([&] {
    auto& [wide_values, values] = described<Preference>(preference);
    if (wide_values.contains(name))
      set(wide_values, name, data, bytes);
    else
      set(values, name, data, bytes);
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  return status_of([&] {
    require_handle(handle);
    require(found != nullptr && results != nullptr && most > 0, "no place for algorithms");
    *found = 0;
    Problem const problem(operation, a, b, c, d);
    *found = choose(problem, described<Preference>(preference), most, results);
    support(*found > 0);
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              void const* alpha, void const* a, cublasLtMatrixLayout_t a_layout,
                              void const* b, cublasLtMatrixLayout_t b_layout, void const* beta,
                              void const* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, cublasLtMatmulAlgo_t const* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  return status_of([&] {
    require_handle(handle);
    require(stream != nullptr, "the default stream, which is not implemented");
    Problem const problem(operation, a_layout, b_layout, c_layout, d_layout);
    cudaDataType const type = problem.operation.scale;
    Product const product{
        problem,  Algorithm::unpacked(algo), scalar(type, alpha), scalar(type, beta), a, b, c, d,
        workspace};
    product.check(workspace_bytes);
    enqueue(stream, "cublasLtMatmul", [product] {
      product.run();
      return true;
    });
  });
}

}  // extern "C"
