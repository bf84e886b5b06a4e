#pragma once
#include <vector>
#include "core/dtype.h"

/// Arithmetic of the stand-in's libraries: elements of any floating dtype as doubles.
namespace tests::fake_cuda {

using Numbers = std::vector<double>;

/// Reads `count` elements that are `stride` elements apart.
void read(core::Dtype dtype, void const* from, int64_t stride, int64_t count, double* to);

/// Writes `count` elements, `stride` elements apart, rounded to `dtype`.
void write(double const* from, int64_t count, core::Dtype dtype, void* to, int64_t stride);

/// Number of significant bits of f64, f32 and bf16.
int significant_bits(core::Dtype dtype);

/// Rounds to `bits` significant bits, ties to even. 53 bits change nothing.
void round_to(int bits, Numbers& numbers);

/// Returns the transpose of a (rows, columns) matrix, row-major as all matrices here.
Numbers transposed(Numbers const& a, int64_t rows, int64_t columns);

/// c += a b of matrices a (rows, inner), b (inner, columns) and c (rows, columns).
void add_product(int64_t rows, int64_t columns, int64_t inner, double const* a, double const* b,
                 double* c);

}  // namespace tests::fake_cuda
