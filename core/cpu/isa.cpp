#include "core/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace core::cpu {

bool amx_bf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  // Intel SDM, CPUID leaf 7: edx bits 22 AMX-BF16 and 24 AMX-TILE; leaf 1: ecx bit 27 OSXSAVE.
  constexpr unsigned bf16_and_tile = (1u << 22) | (1u << 24), osxsave = 1u << 27;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  if ((edx & bf16_and_tile) != bf16_and_tile) return false;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & osxsave)) return false;

  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned tile_state = (1u << 17) | (1u << 18);
  if ((low & tile_state) != tile_state) return false;

  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

}  // namespace core::cpu
#else
namespace core::cpu {

bool amx_bf16() { return false; }

}  // namespace core::cpu
#endif
