#include "core/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace core::cpu {
namespace {

// Bits of CPUID and of XCR0: Intel SDM, volume 2A, CPUID, and volume 1, chapter 13.
constexpr uint32_t osxsave = 1u << 27;                                             // leaf 1, ecx
constexpr uint32_t avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // leaf 7, ebx
constexpr uint32_t amx_bf16_and_tile = 1u << 22 | 1u << 24;                        // leaf 7, edx
constexpr uint32_t avx512_bf16 = 1u << 5;                                          // leaf 7.1, eax
constexpr uint32_t avx512_state = 0xE6;  // SSE, AVX, masks, and two parts of the 512-bit registers
constexpr uint32_t tile_state = 1u << 17 | 1u << 18;

bool has(uint32_t flags, uint32_t all) { return (flags & all) == all; }

#if defined(__x86_64__)
CpuFlags cpu_flags() {
  CpuFlags flags;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) flags.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    flags.leaf7_ebx = ebx;
    flags.leaf7_edx = edx;
    bool const subleaf = eax >= 1;
    if (subleaf && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) flags.leaf7_1_eax = eax;
  }
  uint32_t high = 0;
  if (has(flags.leaf1_ecx, osxsave)) __asm__("xgetbv" : "=a"(flags.xcr0), "=d"(high) : "c"(0));
  return flags;
}

bool permits_amx() {
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
CpuFlags cpu_flags() { return {}; }
bool permits_amx() { return false; }
#endif

}  // namespace

Bf16Units bf16_units(CpuFlags const& flags) {
  bool const avx512 = has(flags.leaf1_ecx, osxsave) && has(flags.xcr0, avx512_state) &&
                      has(flags.leaf7_ebx, avx512_f_dq_bw_vl);
  if (!avx512) return Bf16Units::none;
  if (has(flags.xcr0, tile_state) && has(flags.leaf7_edx, amx_bf16_and_tile)) return Bf16Units::amx;
  return has(flags.leaf7_1_eax, avx512_bf16) ? Bf16Units::avx512 : Bf16Units::none;
}

Bf16Units bf16_units() {
  auto flags = cpu_flags();
  if (bf16_units(flags) == Bf16Units::amx && !permits_amx()) flags.leaf7_edx = 0;
  return bf16_units(flags);
}

}  // namespace core::cpu
