#pragma once
#include "tests/support/fake_cuda/cublaslt_problem.h"

namespace tests::fake_cuda::cublaslt {

/// Content of a cublasLtMatmulAlgo_t.
struct Algorithm {
  uint64_t signature;                  ///< signature of the problem
  uint64_t workspace;                  ///< workspace size in bytes
  uint32_t reduction;                  ///< cublasLtReductionScheme_t
  uint32_t parts;                      ///< number of parts of the inner dimension
  std::array<uint32_t, 4> alignments;  ///< alignments of A, B, C and D in bytes

  cublasLtMatmulAlgo_t packed() const;
  /// Throws: Refused for a null pointer.
  static Algorithm unpacked(cublasLtMatmulAlgo_t const* algo);
};

/// Fills `results` with at most `most` algorithms and returns their number. Several of them add in
/// another order, so that their results differ in the last bits.
int choose(Problem const& problem, Preference const& preference, int most,
           cublasLtMatmulHeuristicResult_t* results);

/// Arguments of cublasLtMatmul.
struct Product {
  Problem problem;
  Algorithm algorithm;
  double alpha, beta;
  void const *a, *b, *c;
  void *d, *workspace;

  /// Throws: Refused if an argument is wrong.
  void check(uint64_t workspace_bytes) const;

  /// Computes D, and overwrites the workspace. Memory that is not allocated now is reported, and
  /// nothing is computed.
  void run() const;
};

}  // namespace tests::fake_cuda::cublaslt
