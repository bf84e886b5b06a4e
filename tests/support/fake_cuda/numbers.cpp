#include "tests/support/fake_cuda/numbers.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace tests::fake_cuda {

namespace {

// Block of c that is kept in registers, and length of the sums that are added to it at a time.
constexpr int64_t tile_rows = 4, tile_columns = 16, tile_inner = 512;

using Tile = double[tile_rows][tile_columns];

/// A vector type, so that the speed does not depend on the compiler's vectorization.
using Lanes [[gnu::vector_size(32)]] = double;
constexpr int64_t lanes = sizeof(Lanes) / sizeof(double), tile_vectors = tile_columns / lanes;

double rounded(int bits, double value) {
  if (bits >= 53 || !std::isfinite(value)) return value;
  auto const wide = std::bit_cast<uint64_t>(value);
  int const dropped = 53 - bits;
  uint64_t const odd = (wide >> dropped) & 1, half = uint64_t{1} << (dropped - 1);
  return std::bit_cast<double>((wide + half - 1 + odd) >> dropped << dropped);
}

/// sums := the product of `tile_rows` rows of a, `stride` apart, and a packed panel of b.
void multiply_tile(double const* a, int64_t stride, double const* panel, int64_t inner,
                   Tile& sums) {
  Lanes local[tile_rows][tile_vectors] = {}, row[tile_vectors];
  for (int64_t l = 0; l < inner; ++l) {
    std::memcpy(row, panel + l * tile_columns, sizeof row);
    for (int64_t i = 0; i < tile_rows; ++i)
      for (int64_t j = 0; j < tile_vectors; ++j) local[i][j] += a[i * stride + l] * row[j];
  }
  static_assert(sizeof local == sizeof sums);
  std::memcpy(sums, local, sizeof local);
}

/// Copies the first `columns` columns of b, `stride` apart, into a panel of `tile_columns`, filled
/// with zeros.
void pack(double const* b, int64_t stride, int64_t columns, int64_t inner, double* panel) {
  for (int64_t l = 0; l < inner; ++l) {
    std::copy_n(b + l * stride, columns, panel + l * tile_columns);
    std::fill(panel + l * tile_columns + columns, panel + (l + 1) * tile_columns, 0.0);
  }
}

/// Adds a panel's product to columns of c. Rows past the last are zeros.
void multiply_panel(int64_t rows, int64_t columns, int64_t inner, double const* a, int64_t a_stride,
                    double const* panel, double* c, int64_t c_stride) {
  Numbers padded;
  for (int64_t first = 0; first < rows; first += tile_rows) {
    int64_t const here = std::min(tile_rows, rows - first);
    double const* from = a + first * a_stride;
    int64_t stride = a_stride;
    if (here < tile_rows) {
      padded.assign(static_cast<size_t>(tile_rows * inner), 0.0);
      for (int64_t i = 0; i < here; ++i)
        std::copy_n(from + i * a_stride, inner, padded.data() + i * inner);
      from = padded.data();
      stride = inner;
    }
    Tile sums;
    multiply_tile(from, stride, panel, inner, sums);
    for (int64_t i = 0; i < here; ++i)
      for (int64_t j = 0; j < columns; ++j) c[(first + i) * c_stride + j] += sums[i][j];
  }
}

}  // namespace

void read(core::Dtype dtype, void const* from, int64_t stride, int64_t count, double* to) {
  core::visit_floating(dtype, [&]<class T>() {
    auto const* const source = static_cast<T const*>(from);
    for (int64_t i = 0; i < count; ++i) to[i] = source[i * stride];
  });
}

void write(double const* from, int64_t count, core::Dtype dtype, void* to, int64_t stride) {
  core::visit_floating(dtype, [&]<class T>() {
    auto* const target = static_cast<T*>(to);
    for (int64_t i = 0; i < count; ++i) target[i * stride] = T(from[i]);
  });
}

int significant_bits(core::Dtype dtype) {
  return dtype == core::Dtype::f64 ? 53 : dtype == core::Dtype::f32 ? 24 : 8;
}

void round_to(int bits, Numbers& numbers) {
  for (double& number : numbers) number = rounded(bits, number);
}

Numbers transposed(Numbers const& a, int64_t rows, int64_t columns) {
  Numbers b(a.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      b[static_cast<size_t>(j * rows + i)] = a[static_cast<size_t>(i * columns + j)];
  return b;
}

void add_product(int64_t rows, int64_t columns, int64_t inner, double const* a, double const* b,
                 double* c) {
  Numbers panel(static_cast<size_t>(tile_columns * std::min(inner, tile_inner)));
  for (int64_t l = 0; l < inner; l += tile_inner)
    for (int64_t j = 0; j < columns; j += tile_columns) {
      int64_t const depth = std::min(tile_inner, inner - l);
      int64_t const width = std::min(tile_columns, columns - j);
      pack(b + l * columns + j, columns, width, depth, panel.data());
      multiply_panel(rows, width, depth, a + l, inner, panel.data(), c + j, columns);
    }
}

}  // namespace tests::fake_cuda
