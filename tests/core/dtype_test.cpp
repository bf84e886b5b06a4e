#include "core/dtype.h"
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace core;

TEST_CASE("bf16: f32 values -> rounded to nearest, ties to even", "[dtype]") {
  // 8 bits of significand: neighbors of 1 are 1 - 2^-8 and 1 + 2^-7.
  CHECK(float(bf16(1.0f)) == 1);
  CHECK(float(bf16(1 + 0x1p-8f)) == 1);  // a tie, down to even
  CHECK(float(bf16(1 + 0x1p-8f + 0x1p-20f)) == 1 + 0x1p-7f);
  CHECK(float(bf16(1 + 3 * 0x1p-8f)) == 1 + 0x1p-6f);  // a tie, up to even
  CHECK(float(bf16(-1 - 3 * 0x1p-8f)) == -1 - 0x1p-6f);
  CHECK(float(bf16(3.140625f)) == 3.140625f);
  CHECK(bf16(-2.0f).bits == 0xC000);
}

TEST_CASE(
    "bf16: infinities, NaN, zeros and extreme values -> infinities and NaN kept, overflow to "
    "infinity",
    "[dtype]") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(float(bf16(infinity)) == infinity);
  CHECK(float(bf16(-infinity)) == -infinity);
  CHECK(float(bf16(std::numeric_limits<float>::max())) == infinity);
  CHECK(std::isnan(float(bf16(std::numeric_limits<float>::quiet_NaN()))));
  // Rounding up the payload of this NaN would carry into infinity.
  CHECK(std::isnan(float(bf16(std::bit_cast<float>(0x7F80FFFFu)))));
  CHECK(std::isnan(float(bf16(std::bit_cast<float>(0xFFFFFFFFu)))));
  CHECK(std::signbit(float(bf16(-0.0f))));
  CHECK(float(bf16(0x1p-130f)) == 0x1p-130f);  // f32 subnormals are kept
}

TEST_CASE("dtype: every type -> size, name and accumulator type", "[dtype]") {
  CHECK(size_of(Dtype::bf16) == 2);
  CHECK(size_of(Dtype::i64) == 8);
  CHECK(size_of(Dtype::u8) == 1);
  CHECK(std::string(name(Dtype::bf16)) == "bf16");
  CHECK(accumulator(Dtype::bf16) == Dtype::f32);
  CHECK(accumulator(Dtype::f32) == Dtype::f32);
  CHECK(accumulator(Dtype::f64) == Dtype::f64);
  CHECK(is_floating(Dtype::bf16));
  CHECK_FALSE(is_floating(Dtype::i32));
}

TEST_CASE("visit: a runtime dtype -> call with the C++ type; not floating -> error", "[dtype]") {
  for (Dtype const dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i32, Dtype::i64, Dtype::u8})
    CHECK(visit(dtype, []<class T>() { return dtype_of<T>; }) == dtype);
  CHECK_THROWS_WITH(visit_floating(Dtype::u8, []<class T>() { return sizeof(T); }),
                    Catch::StartsWith("expected a floating dtype, got u8"));
}
