#pragma once
#include <algorithm>
#include <array>
#include <cublasLt.h>
#include <map>
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/fake_cuda/numbers.h"

/// What the descriptors of cuBLASLt describe.
namespace tests::fake_cuda::cublaslt {

/// Thrown by a call that is refused, with its status.
struct Refused {
  cublasStatus_t status;
};

/// Refuses a call whose arguments are wrong.
[[noreturn]] inline void refuse(std::string const& why) {
  misuse("cuBLASLt: " + why);
  throw Refused{CUBLAS_STATUS_INVALID_VALUE};
}

inline void require(bool holds, std::string const& why) {
  if (!holds) refuse(why);
}

/// Refuses a product that is valid, but for which there is no algorithm.
inline void support(bool holds) {
  if (!holds) throw Refused{CUBLAS_STATUS_NOT_SUPPORTED};
}

/// Matrix in column-major order.
struct Layout {
  cudaDataType type;
  uint64_t rows, columns;
  int64_t pitch;  ///< distance of two columns in elements

  core::Dtype dtype() const {
    return type == CUDA_R_64F   ? core::Dtype::f64
           : type == CUDA_R_32F ? core::Dtype::f32
                                : core::Dtype::bf16;
  }
  /// Extent in memory.
  size_t bytes() const {
    return ((columns - 1) * static_cast<uint64_t>(pitch) + rows) * core::size_of(dtype());
  }
};

struct Operation {
  cublasComputeType_t compute;
  cudaDataType scale;
  std::map<cublasLtMatmulDescAttributes_t, int32_t> values{
      {CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N},
      {CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N},
      {CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, 0}};
};

struct Preference {
  std::map<cublasLtMatmulPreferenceAttributes_t, uint64_t> wide_values{
      {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 0}};
  std::map<cublasLtMatmulPreferenceAttributes_t, uint32_t> values{
      {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_MASK},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 256},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 256},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 256},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 256}};

  uint64_t workspace() const { return wide_values.at(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES); }
  /// Alignments of A, B, C and D in bytes.
  std::array<uint32_t, 4> alignments() const {
    return {values.at(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES),
            values.at(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES),
            values.at(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES),
            values.at(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)};
  }
};

/// Returns the descriptor behind a handle.
template <class T>
T& described(void* handle) {
  require(handle != nullptr, "a descriptor is a null pointer");
  return *static_cast<T*>(handle);
}

/// Operation and layouts of a product d := alpha op(a) op(b) + beta c.
struct Problem {
  Operation operation;
  Layout a, b, c, d;

  /// Throws: Refused if the descriptors do not fit.
  Problem(void* operation, void* a, void* b, void* c, void* d)
      : operation(described<Operation>(operation)),
        a(described<Layout>(a)),
        b(described<Layout>(b)),
        c(described<Layout>(c)),
        d(described<Layout>(d)) {
    check('A', this->a);
    check('B', this->b);
    check('C', this->c);
    check('D', this->d);
    check_sizes();
    check_types();
  }

  bool transposed(cublasLtMatmulDescAttributes_t which) const {
    return operation.values.at(which) == CUBLAS_OP_T;
  }
  bool transpose_a() const { return transposed(CUBLASLT_MATMUL_DESC_TRANSA); }
  bool transpose_b() const { return transposed(CUBLASLT_MATMUL_DESC_TRANSB); }
  int64_t inner() const { return static_cast<int64_t>(transpose_a() ? a.rows : a.columns); }

  /// Significant bits to which the inputs are rounded.
  int input_bits() const {
    return operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? 11 : significant_bits(a.dtype());
  }

  /// Identifies the problem in an algorithm (FNV-1a).
  uint64_t signature() const {
    uint64_t hash = 0xcbf29ce484222325u;
    auto const add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001b3u; };
    add(operation.compute);
    add(operation.scale);
    add(transpose_a());
    add(transpose_b());
    for (Layout const* layout : {&a, &b, &c, &d})
      for (uint64_t const value : {uint64_t{layout->type}, layout->rows, layout->columns,
                                   static_cast<uint64_t>(layout->pitch)})
        add(value);
    return hash;
  }

 private:
  static void check(char name, Layout const& layout) {
    require(
        layout.rows > 0 && layout.columns > 0 && layout.pitch >= static_cast<int64_t>(layout.rows),
        core::join("layout of ", name, ": ", layout.rows, " rows, ", layout.columns,
                   " columns, leading dimension ", layout.pitch));
  }

  void check_sizes() const {
    for (auto const which : {CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB})
      require(operation.values.at(which) == CUBLAS_OP_N || transposed(which),
              core::join("transpose ", operation.values.at(which)));
    auto const [n, b_inner] =
        transpose_b() ? std::pair{b.rows, b.columns} : std::pair{b.columns, b.rows};
    uint64_t const m = transpose_a() ? a.columns : a.rows;
    require(m == c.rows && n == c.columns && static_cast<int64_t>(b_inner) == inner(),
            core::join("op(A) has ", m, " rows and ", inner(), " columns, op(B) ", b_inner, " and ",
                       n, ", C ", c.rows, " and ", c.columns));
    require(c.rows == d.rows && c.columns == d.columns && c.type == d.type,
            "C and D differ in size or type");
  }

  /// Refuses types without a row in the table of cublasLtMatmul's documentation, of which these are
  /// the rows that this project may use. A scale type that no row combines with the compute type is
  /// reported as misuse.
  void check_types() const {
    struct Row {
      cublasComputeType_t compute;
      cudaDataType scale, ab, cd;
    };
    static constexpr Row table[] = {
        {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F},
        {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF},
        {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F},
        {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F},
        {CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F},
    };
    auto const has = [](auto const& fits) {
      return std::any_of(std::begin(table), std::end(table), fits);
    };
    auto const scales = [&](Row const& row) {
      return row.compute == operation.compute && row.scale == operation.scale;
    };
    if (!has(scales)) misuse("cuBLASLt: the scale type does not fit the compute type");
    support(a.type == b.type && has([&](Row const& row) {
              return scales(row) && row.ab == a.type && row.cd == c.type;
            }));
  }
};

}  // namespace tests::fake_cuda::cublaslt
