// The stand-in for cuBLASLt: what it computes and what it refuses.
#include <catch2/catch.hpp>
#include <cmath>
#include <cublasLt.h>
#include <utility>
#include "core/cuda/handle.h"
#include "tests/support/fake_cuda/fake_cuda.h"

namespace fake_cuda = tests::fake_cuda;
using core::cuda::check;
using core::cuda::make_stream;
using core::cuda::Stream;

namespace {

constexpr auto success = CUBLAS_STATUS_SUCCESS;
constexpr auto wrong = CUBLAS_STATUS_INVALID_VALUE;

/// Memory of the GPU.
class Memory {
 public:
  Memory(Stream const& stream, size_t bytes) : stream_(stream) {
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, 0));
    check(cudaMallocFromPoolAsync(&data_, bytes, pool, stream.get()));
  }
  ~Memory() { free(); }
  Memory(Memory const&) = delete;
  Memory& operator=(Memory const&) = delete;

  void free() {
    if (!data_) return;
    check(cudaFreeAsync(std::exchange(data_, nullptr), stream_.get()));
    check(cudaStreamSynchronize(stream_.get()));
  }
  float* data() const { return static_cast<float*>(data_); }

  void write(std::vector<float> const& values) const {
    check(cudaMemcpyAsync(data_, values.data(), values.size() * sizeof(float),
                          cudaMemcpyHostToDevice, stream_.get()));
  }
  std::vector<float> read(size_t count) const {
    std::vector<float> values(count);
    check(cudaMemcpyAsync(values.data(), data_, count * sizeof(float), cudaMemcpyDeviceToHost,
                          stream_.get()));
    check(cudaStreamSynchronize(stream_.get()));
    return values;
  }

 private:
  Stream const& stream_;
  void* data_ = nullptr;
};

using Layout = core::cuda::Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = core::cuda::Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = core::cuda::Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;
using Handle = core::cuda::Owned<cublasLtHandle_t, cublasLtDestroy>;

Layout layout(uint64_t rows, uint64_t columns, int64_t pitch, cudaDataType type = CUDA_R_32F) {
  cublasLtMatrixLayout_t layout = nullptr;
  REQUIRE(cublasLtMatrixLayoutCreate(&layout, type, rows, columns, pitch) == success);
  return Layout(layout);
}

/// A product of f32 matrices A (m, k) and B (k, n) into C = D (m, n), with arguments that tests
/// change.
struct Product {
  static constexpr size_t m = 3, n = 2, k = 40;
  static constexpr size_t bytes = 4096;

  Product() {
    cublasLtHandle_t made = nullptr;
    REQUIRE(cublasLtCreate(&made) == success);
    handle.reset(made);
    describe(CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulPreference_t preferred = nullptr;
    REQUIRE(cublasLtMatmulPreferenceCreate(&preferred) == success);
    preference.reset(preferred);
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{bytes});
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    std::vector<float> x(m * k), y(k * n);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / static_cast<float>(i + 1);
    for (size_t i = 0; i < y.size(); ++i) y[i] = std::cos(static_cast<float>(i));
    a.write(x);
    b.write(y);
  }

  void describe(cublasComputeType_t compute, cudaDataType scale) {
    cublasLtMatmulDesc_t made = nullptr;
    REQUIRE(cublasLtMatmulDescCreate(&made, compute, scale) == success);
    operation.reset(made);
  }
  template <class T>
  cublasStatus_t prefer(cublasLtMatmulPreferenceAttributes_t name, T value) {
    return cublasLtMatmulPreferenceSetAttribute(preference.get(), name, &value, sizeof value);
  }
  template <class T>
  cublasStatus_t set(cublasLtMatmulDescAttributes_t name, T value) {
    return cublasLtMatmulDescSetAttribute(operation.get(), name, &value, sizeof value);
  }

  /// Fills `algorithms`.
  cublasStatus_t choose(int most = 8) {
    algorithms.resize(8);
    int found = 0;
    auto const status = cublasLtMatmulAlgoGetHeuristic(
        handle.get(), operation.get(), first.get(), second.get(), third.get(), third.get(),
        preference.get(), most, algorithms.data(), &found);
    algorithms.resize(static_cast<size_t>(found));
    return status;
  }

  cublasStatus_t run(size_t algorithm = 0) {
    auto const& chosen = algorithms.at(algorithm);
    return cublasLtMatmul(handle.get(), operation.get(), &alpha, a_data, first.get(), b.data(),
                          second.get(), &beta, c.data(), third.get(), c.data(), third.get(),
                          &chosen.algo, workspace_data, chosen.workspaceSize - missing,
                          stream.get());
  }

  Stream stream = make_stream();
  Memory a{stream, bytes}, b{stream, bytes}, c{stream, bytes}, workspace{stream, bytes};
  Layout first = layout(m, k, m), second = layout(k, n, k), third = layout(m, n, m);
  Operation operation;
  Preference preference;
  Handle handle;
  float alpha = 1, beta = 0;
  void* a_data = a.data();
  void* workspace_data = workspace.data();
  size_t missing = 0;  ///< bytes that the workspace has too few
  std::vector<cublasLtMatmulHeuristicResult_t> algorithms;
};

size_t misuses() { return fake_cuda::take_misuses().size(); }

}  // namespace

TEST_CASE("stand-in for cuBLASLt: several algorithms -> the same sums, other last bits") {
  Product product;
  REQUIRE(product.choose() == success);
  REQUIRE(product.algorithms.size() >= 4);
  bool differs = false, without_workspace = false;
  std::vector<float> exact;
  for (size_t i = 0; i < product.algorithms.size(); ++i) {
    REQUIRE(product.run(i) == success);
    auto const values = product.c.read(Product::m * Product::n);
    if (i == 0) exact = values;
    for (size_t j = 0; j < values.size(); ++j) CHECK(values[j] == Approx(exact[j]).epsilon(1e-5));
    differs |= values != exact;
    without_workspace |= product.algorithms[i].workspaceSize == 0;
  }
  CHECK(differs);
  CHECK(without_workspace);
}

TEST_CASE("stand-in for cuBLASLt: pitch, transposes, alpha and beta -> as written by hand") {
  Product product;
  product.first = layout(2, 1, 3);  // Aᵀ: (1, 2)
  product.second = layout(2, 2, 2);
  product.third = layout(1, 2, 4);
  REQUIRE(product.set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_T}) == success);
  product.a.write({2, 3});
  product.b.write({1, 10, 100, 1000});
  product.c.write({5, 6, 7, 8, 9});
  product.alpha = 2;
  product.beta = 3;
  REQUIRE(product.choose(1) == success);
  REQUIRE(product.run() == success);
  CHECK(product.c.read(5) ==
        std::vector<float>{2 * (2 + 30) + 3 * 5, 6, 7, 8, 2 * (200 + 3000) + 3 * 9});
}

TEST_CASE("stand-in for cuBLASLt: TF32 -> inputs of 11 significant bits") {
  Product product;
  product.describe(CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F);
  product.first = layout(1, 1, 1);
  product.second = layout(1, 1, 1);
  product.third = layout(1, 1, 1);
  product.a.write({1 + 0x1p-10f + 0x1p-12f});
  product.b.write({1});
  REQUIRE(product.choose(1) == success);
  REQUIRE(product.run() == success);
  CHECK(product.c.read(1) == std::vector<float>{1 + 0x1p-10f});
}

TEST_CASE("stand-in for cuBLASLt: wrong attributes, layouts or counts -> refused and reported") {
  Product product;
  CHECK(product.set(CUBLASLT_MATMUL_DESC_TRANSA, int64_t{CUBLAS_OP_T}) == wrong);
  CHECK(product.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int32_t{1}) == wrong);
  CHECK(product.prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint32_t{1}) == wrong);
  CHECK(product.prefer(CUBLASLT_MATMUL_PREF_IMPL_MASK, uint64_t{1}) == wrong);
  CHECK(product.choose(0) == wrong);
  CHECK(misuses() == 5);

  product.first = layout(Product::m, Product::k, Product::m - 1);
  CHECK(product.choose() == wrong);
  product.first = layout(Product::m, 0, Product::m);
  CHECK(product.choose() == wrong);
  product.first = layout(Product::k, Product::m, Product::k);
  CHECK(product.choose() == wrong);
  CHECK(product.set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_T}) == success);
  CHECK(product.choose() == success);
  CHECK(misuses() == 3);
}

TEST_CASE("stand-in for cuBLASLt: types outside of the table -> not supported") {
  Product product;
  product.describe(CUBLAS_COMPUTE_32F, CUDA_R_16BF);
  CHECK(product.choose() == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(misuses() == 1);
  product.describe(CUBLAS_COMPUTE_64F, CUDA_R_64F);
  CHECK(product.choose() == CUBLAS_STATUS_NOT_SUPPORTED);
  product.describe(CUBLAS_COMPUTE_32F, CUDA_R_32F);
  product.second = layout(Product::k, Product::n, Product::k, CUDA_R_16BF);
  CHECK(product.choose() == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(misuses() == 0);
}

TEST_CASE("stand-in for cuBLASLt: a call that differs from the heuristic's -> refused, reported") {
  using Change = void (*)(Product&);
  Change const change =
      GENERATE(Change([](Product& p) { p.missing = 1; }),
               Change([](Product& p) { p.workspace_data = nullptr; }),
               Change([](Product& p) { p.workspace_data = p.workspace.data() + 4; }),
               Change([](Product& p) { p.workspace_data = p.c.data(); }),
               Change([](Product& p) { p.a_data = nullptr; }),
               Change([](Product& p) { p.a_data = p.a.data() + 1; }),
               Change([](Product& p) { p.a_data = p.c.data(); }),
               Change([](Product& p) { p.first = layout(Product::m, Product::k, 5); }),
               Change([](Product& p) {
                 p.set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_T});
                 p.first = layout(Product::k, Product::m, Product::k);
               }));
  Product product;
  REQUIRE(product.choose() == success);
  change(product);
  CHECK(product.run(product.algorithms.size() - 1) == wrong);  // its workspace is not empty
  CHECK(misuses() == 1);
}

TEST_CASE("stand-in for cuBLASLt: memory that is freed or too small -> reported when it runs") {
  Product product;
  SECTION("freed") { product.a.free(); }
  SECTION("too small") { product.first = layout(Product::m, Product::k, 1 << 20); }
  REQUIRE(product.choose(1) == success);
  CHECK(product.run() == success);
  fake_cuda::finish();
  CHECK(misuses() == 1);
}

TEST_CASE("stand-in for cuBLASLt: a product -> overwrites its workspace") {
  Product product;
  REQUIRE(product.choose() == success);
  product.workspace.write({1, 2, 3});
  REQUIRE(product.run(product.algorithms.size() - 1) == success);
  CHECK(std::isnan(product.workspace.read(1)[0]));
}
