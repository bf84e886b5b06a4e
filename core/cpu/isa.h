#pragma once
#include <cstdint>

namespace core::cpu {

/// Features of the processor and of the operating system, as CPUID and XGETBV report them.
struct CpuFlags {
  uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_edx = 0;
  uint32_t leaf7_1_eax = 0;  ///< subleaf 1 of leaf 7
  uint32_t xcr0 = 0;         ///< registers that the operating system saves
};

/// Instructions that multiply bf16 faster than f32, slowest first. oneDNN has products for each of
/// them; without either it emulates bf16, 3 to 4 times slower than f32 according to its
/// documentation (docs/numerics.md).
enum class Bf16Units {
  none,
  avx512,  ///< AVX512-BF16: twice as many multiplications per instruction as in f32
  amx,     ///< AMX-BF16: matrix units
};

/// The fastest instructions that `flags` permit.
Bf16Units bf16_units(CpuFlags const& flags);

/// The fastest instructions of this machine. Requests the operating system's permission for AMX.
Bf16Units bf16_units();

}  // namespace core::cpu
