#pragma once
#include <cstddef>
#include <span>

/// What the simulator tells the sanitizers, and hears from ThreadSanitizer. Nothing without them.
/// The simulator itself is not instrumented by ThreadSanitizer (tests/CMakeLists.txt): what it
/// reads and writes on behalf of kernels is none of theirs.
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

// AddressSanitizer: before and after a switch to another stack.
void before_switch(void** fake_kept, void const* bottom, size_t size);
void after_switch(void* fake, void const** bottom, size_t* size);
/// The memory of a stack whose frames were left without unwinding may be used anew.
void forget_frames(void const* bottom, size_t size);

// ThreadSanitizer: threads of its own, by identity.
void* new_identity();
void delete_identity(void* identity);
void* this_identity();
void assume_identity(void* identity);
/// All that `earlier` have done happens before what `later` do next.
void happens_before(std::span<void* const> earlier, std::span<void* const> later);

/// While it lives, races on this thread of the host are counted as the kernel's. Where they are
/// expected, ThreadSanitizer's reports are `hidden`.
class RaceWatch {
 public:
  explicit RaceWatch(bool hidden);
  ~RaceWatch();
  RaceWatch(RaceWatch const&) = delete;
  RaceWatch& operator=(RaceWatch const&) = delete;
  bool found() const;
};

}  // namespace tests::host_cuda
