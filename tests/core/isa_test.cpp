#include "core/cpu/isa.h"
#include <catch2/catch.hpp>

using core::cpu::bf16_units;
using core::cpu::Bf16Units;
using core::cpu::CpuFlags;

namespace {

// Relevant bits of processors. AMD EPYC 9004 (Zen 4): AVX512-BF16, no AMX.
constexpr CpuFlags genoa{
    .leaf1_ecx = 1u << 27, .leaf7_ebx = 0xC0030000, .leaf7_1_eax = 1u << 5, .xcr0 = 0xE7};
// Intel Xeon of the fourth generation: both.
constexpr CpuFlags sapphire_rapids{.leaf1_ecx = 1u << 27,
                                   .leaf7_ebx = 0xC0030000,
                                   .leaf7_edx = 0x01400000,
                                   .leaf7_1_eax = 1u << 5,
                                   .xcr0 = 0x600E7};

}  // namespace

TEST_CASE("bf16_units: flags of a processor -> its fastest instructions", "[cpu]") {
  CHECK(bf16_units(genoa) == Bf16Units::avx512);
  CHECK(bf16_units(sapphire_rapids) == Bf16Units::amx);
  CHECK(bf16_units(CpuFlags{}) == Bf16Units::none);
  auto ice_lake = genoa;  // AVX-512 without bf16 instructions
  ice_lake.leaf7_1_eax = 0;
  CHECK(bf16_units(ice_lake) == Bf16Units::none);
  auto alder_lake = genoa;  // AVX2 alone
  alder_lake.leaf7_ebx = 0;
  CHECK(bf16_units(alder_lake) == Bf16Units::none);
}

TEST_CASE("bf16_units: registers that the operating system does not save -> not used", "[cpu]") {
  auto flags = sapphire_rapids;
  flags.xcr0 = 0xE7;  // no tiles
  CHECK(bf16_units(flags) == Bf16Units::avx512);
  flags.xcr0 = 0x7;  // no 512-bit registers
  CHECK(bf16_units(flags) == Bf16Units::none);
  flags = sapphire_rapids;
  flags.leaf1_ecx = 0;  // XGETBV is not available
  CHECK(bf16_units(flags) == Bf16Units::none);
}

TEST_CASE("bf16_units: one bit of a set missing -> not used", "[cpu]") {
  for (auto const bit : {16, 17, 30, 31}) {
    auto flags = genoa;
    flags.leaf7_ebx &= ~(1u << bit);
    CHECK(bf16_units(flags) == Bf16Units::none);
  }
  for (auto const bit : {22, 24}) {
    auto flags = sapphire_rapids;
    flags.leaf7_edx &= ~(1u << bit);
    CHECK(bf16_units(flags) == Bf16Units::avx512);
  }
}
