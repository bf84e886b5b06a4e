#pragma once
#include <cstddef>
#include <span>

/// Interface between the simulator and the sanitizers; does nothing in builds without them. The
/// simulator itself is not instrumented by ThreadSanitizer (tests/CMakeLists.txt), so that its
/// accesses on behalf of kernels are not reported.
namespace tests::host_cuda {

#ifdef COLONNADE_TSAN
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif

// AddressSanitizer: called before and after a switch to another stack.
void before_switch(void** fake_kept, void const* bottom, size_t size);
void after_switch(void* fake, void const** bottom, size_t* size);
/// Allows reuse of the memory of a stack whose frames were left without unwinding.
void forget_frames(void const* bottom, size_t size);

// ThreadSanitizer: simulated threads, by handle.
void* new_identity();
void delete_identity(void* identity);
void* this_identity();
void assume_identity(void* identity);
/// Orders all past operations of `earlier` before all future ones of `later`.
void happens_before(std::span<void* const> earlier, std::span<void* const> later);

/// During its lifetime, races on this host thread count as the kernel's. If races are expected,
/// ThreadSanitizer's reports are `hidden`.
class RaceWatch {
 public:
  explicit RaceWatch(bool hidden);
  ~RaceWatch();
  RaceWatch(RaceWatch const&) = delete;
  RaceWatch& operator=(RaceWatch const&) = delete;
  bool found() const;
};

}  // namespace tests::host_cuda
