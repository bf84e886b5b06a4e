#include "tests/support/fake_cuda/cublaslt_product.h"
#include <cstring>

namespace tests::fake_cuda::cublaslt {

using core::Dtype;
using core::join;

namespace {

/// Returns the algorithms in the order of the heuristic. The first two round sums of parts to the
/// type of the result: a program that forgets to exclude them gets them.
std::vector<Algorithm> algorithms_of(Problem const& problem) {
  uint64_t const signature = problem.signature(), count = problem.d.rows * problem.d.columns;
  uint64_t const out = core::size_of(problem.d.dtype());
  uint64_t const sum = core::size_of(core::accumulator(problem.d.dtype()));
  auto const many = static_cast<uint32_t>(std::clamp<int64_t>(problem.inner() / 4, 2, 64));
  return {
      {signature, many * count * out, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, many, {}},
      {signature, 64, CUBLASLT_REDUCTION_SCHEME_INPLACE, many, {}},
      {signature, count % 3 == 0 ? 0u : 777u, CUBLASLT_REDUCTION_SCHEME_NONE, 1, {}},
      {signature, 3 * count * sum, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 3, {}},
      {signature, 0, CUBLASLT_REDUCTION_SCHEME_NONE, 1, {}},
      {signature, 5 * count * sum, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 5, {}},
      {signature, 4096, CUBLASLT_REDUCTION_SCHEME_NONE, 1, {}},
  };
}

bool permitted(Algorithm const& algorithm, Problem const& problem, Preference const& preference) {
  if (algorithm.workspace > preference.workspace()) return false;
  if (algorithm.parts == 1) return true;
  auto const alignments = preference.alignments();
  bool const aligned = *std::min_element(alignments.begin(), alignments.end()) >= 16;
  auto const mask = preference.values.at(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
  return aligned && (algorithm.reduction & mask) != 0 && problem.inner() >= algorithm.parts;
}

bool overlap(void const* x, size_t x_bytes, void const* y, size_t y_bytes) {
  auto const first = reinterpret_cast<uintptr_t>(x), second = reinterpret_cast<uintptr_t>(y);
  return first < second + y_bytes && second < first + x_bytes;
}

/// One of A, B, C and D in memory.
struct Operand {
  char name;
  Layout layout;
  void const* data;

  /// Interleaved matrices in the same memory are assumed to be disjoint.
  bool overlaps(Operand const& other) const {
    auto const gaps = [](Layout const& l) { return l.pitch > static_cast<int64_t>(l.rows); };
    return !gaps(layout) && !gaps(other.layout) &&
           overlap(data, layout.bytes(), other.data, other.layout.bytes());
  }

  /// Returns a row-major matrix whose rows are the columns in memory or, if `across`, the rows.
  Numbers matrix(bool across) const {
    auto const rows = static_cast<int64_t>(layout.rows);
    auto const columns = static_cast<int64_t>(layout.columns);
    auto const size = static_cast<int64_t>(core::size_of(layout.dtype()));
    auto const* const bytes = static_cast<std::byte const*>(data);
    Numbers numbers(layout.rows * layout.columns);
    int64_t const lines = across ? rows : columns, length = across ? columns : rows;
    for (int64_t line = 0; line < lines; ++line)
      read(layout.dtype(), bytes + size * line * (across ? 1 : layout.pitch),
           across ? layout.pitch : 1, length, numbers.data() + line * length);
    return numbers;
  }
};

std::array<Operand, 4> operands_of(Product const& p) {
  return {{{'A', p.problem.a, p.a},
           {'B', p.problem.b, p.b},
           {'C', p.problem.c, p.c},
           {'D', p.problem.d, p.d}}};
}

void check_workspace(Product const& p, uint64_t bytes) {
  uint64_t const required = p.algorithm.workspace;
  require(bytes >= required,
          join("the algorithm requires ", required, " bytes of workspace, not ", bytes));
  if (required == 0) return;
  require(p.workspace != nullptr, "the workspace is a null pointer");
  require(reinterpret_cast<uintptr_t>(p.workspace) % 256 == 0,
          "the workspace is not aligned to 256 bytes");
  for (Operand const& operand : operands_of(p))
    require(!overlap(p.workspace, bytes, operand.data, operand.layout.bytes()),
            join("the workspace overlaps operand ", operand.name));
}

bool live(void const* data, size_t bytes, std::string const& what) {
  bool const holds = on_gpu(data, bytes);
  if (!holds) misuse(join("cuBLASLt: ", what, ", ", bytes, " bytes, is not in live GPU memory"));
  return holds;
}

bool all_live(Product const& p) {
  for (Operand const& operand : operands_of(p)) {
    bool const used = operand.name != 'C' || p.beta != 0;
    if (used && !live(operand.data, operand.layout.bytes(), join("operand ", operand.name)))
      return false;
  }
  return p.algorithm.workspace == 0 || live(p.workspace, p.algorithm.workspace, "the workspace");
}

/// Returns columns of a matrix (rows, columns).
Numbers columns_of(Numbers const& matrix, int64_t rows, int64_t columns, int64_t begin,
                   int64_t count) {
  Numbers slice(static_cast<size_t>(rows * count));
  for (int64_t i = 0; i < rows; ++i)
    std::copy_n(matrix.data() + i * columns + begin, count, slice.data() + i * count);
  return slice;
}

/// Significant bits of the sums of parts. Those in the type of the result have two less than it, so
/// that tests notice them.
int partial_bits(Product const& p) {
  Dtype const out = p.problem.d.dtype();
  bool const wide = p.algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  return wide ? significant_bits(core::accumulator(out)) : significant_bits(out) - 2;
}

/// Returns left right: in one sum in f64, or added in parts, rounded after each.
Numbers sums_of(Product const& p, Numbers const& left, Numbers const& right) {
  auto const rows = static_cast<int64_t>(p.problem.d.columns);
  auto const columns = static_cast<int64_t>(p.problem.d.rows);
  int64_t const inner = p.problem.inner(), parts = p.algorithm.parts;
  Numbers total(static_cast<size_t>(rows * columns));
  if (parts == 1) {
    add_product(rows, columns, inner, left.data(), right.data(), total.data());
    return total;
  }
  for (int64_t part = 0; part < parts; ++part) {
    int64_t const begin = inner * part / parts, depth = inner * (part + 1) / parts - begin;
    Numbers const slice = columns_of(left, rows, inner, begin, depth);
    Numbers sum(total.size());
    add_product(rows, columns, depth, slice.data(), right.data() + begin * columns, sum.data());
    round_to(partial_bits(p), sum);
    for (size_t i = 0; i < total.size(); ++i) total[i] += sum[i];
    round_to(partial_bits(p), total);
  }
  return total;
}

/// Writes alpha sums + beta C to D. C is not read if beta is 0.
void store(Product const& p, Numbers sums) {
  for (double& sum : sums) sum *= p.alpha;
  if (p.beta != 0) {
    Numbers const kept = Operand{'C', p.problem.c, p.c}.matrix(false);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += p.beta * kept[i];
  }
  Layout const& d = p.problem.d;
  size_t const pitch = static_cast<size_t>(d.pitch) * core::size_of(d.dtype());
  for (size_t column = 0; column < d.columns; ++column)
    write(sums.data() + column * d.rows, static_cast<int64_t>(d.rows), d.dtype(),
          static_cast<std::byte*>(p.d) + column * pitch, 1);
}

}  // namespace

cublasLtMatmulAlgo_t Algorithm::packed() const {
  cublasLtMatmulAlgo_t algo{};
  static_assert(sizeof *this <= sizeof algo);
  std::memcpy(&algo, this, sizeof *this);
  return algo;
}

Algorithm Algorithm::unpacked(cublasLtMatmulAlgo_t const* algo) {
  require(algo != nullptr, "no algorithm");
  Algorithm algorithm;
  std::memcpy(&algorithm, algo, sizeof algorithm);
  return algorithm;
}

int choose(Problem const& problem, Preference const& preference, int most,
           cublasLtMatmulHeuristicResult_t* results) {
  for (uint32_t const alignment : preference.alignments())
    require(alignment > 0 && (alignment & (alignment - 1)) == 0, join("alignment ", alignment));
  int found = 0;
  for (Algorithm algorithm : algorithms_of(problem)) {
    if (found == most || !permitted(algorithm, problem, preference)) continue;
    algorithm.alignments = preference.alignments();
    results[found] = {algorithm.packed(), algorithm.workspace, CUBLAS_STATUS_SUCCESS, 1, {}};
    ++found;
  }
  return found;
}

void Product::check(uint64_t workspace_bytes) const {
  require(algorithm.signature == problem.signature(),
          "the algorithm was chosen for another operation or other layouts");
  auto const operands = operands_of(*this);
  for (size_t i = 0; i < operands.size(); ++i) {
    auto const& [name, layout, data] = operands[i];
    require(data != nullptr, join("operand ", name, " is a null pointer"));
    require(reinterpret_cast<uintptr_t>(data) % algorithm.alignments[i] == 0,
            join("operand ", name, " is not aligned to the ", algorithm.alignments[i],
                 " bytes that the algorithm was chosen for"));
  }
  require(c != d || problem.c.pitch == problem.d.pitch,
          "C and D are the same memory with different leading dimensions");
  for (Operand const& operand : operands)
    require(
        operand.name == 'D' || (operand.name == 'C' && c == d) || !operands[3].overlaps(operand),
        join("D overlaps operand ", operand.name));
  check_workspace(*this, workspace_bytes);
}

void Product::run() const {
  if (!all_live(*this)) return;
  if (algorithm.workspace > 0) std::memset(workspace, 0xFF, algorithm.workspace);  // NaN
  auto const operands = operands_of(*this);
  // The row-major matrix in the memory of D is its transpose: op(B)ᵀ op(A)ᵀ.
  Numbers left = operands[1].matrix(problem.transpose_b());
  Numbers right = operands[0].matrix(problem.transpose_a());
  round_to(problem.input_bits(), left);
  round_to(problem.input_bits(), right);
  store(*this, sums_of(*this, left, right));
}

}  // namespace tests::fake_cuda::cublaslt
