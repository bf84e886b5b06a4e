#include "tests/support/host_cuda/sanitizers.h"
#include <memory>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef COLONNADE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace tests::host_cuda {
namespace {

struct Races {
  bool watched = false, hidden = false;
  int count = 0;
};
constinit thread_local Races races;

}  // namespace

#ifdef __SANITIZE_ADDRESS__
void before_switch(void** fake_kept, void const* bottom, size_t size) {
  __sanitizer_start_switch_fiber(fake_kept, bottom, size);
}
void after_switch(void* fake, void const** bottom, size_t* size) {
  __sanitizer_finish_switch_fiber(fake, bottom, size);
}
void forget_frames(void const* bottom, size_t size) { __asan_unpoison_memory_region(bottom, size); }
#else
void before_switch(void**, void const*, size_t) {}
void after_switch(void*, void const**, size_t*) {}
void forget_frames(void const*, size_t) {}
#endif

#ifdef COLONNADE_TSAN
void* new_identity() { return __tsan_create_fiber(0); }
void delete_identity(void* identity) { __tsan_destroy_fiber(identity); }
void* this_identity() { return __tsan_get_current_fiber(); }
void assume_identity(void* identity) {
  __tsan_switch_to_fiber(identity, __tsan_switch_to_fiber_no_sync);
}

void happens_before(std::span<void* const> earlier, std::span<void* const> later) {
  // A new object each time, because an object keeps every ordering it has once transferred between
  // threads.
  auto const carrier = std::make_unique<char>();
  void* const self = this_identity();
  for (void* const identity : earlier) {
    assume_identity(identity);
    __tsan_release(carrier.get());
  }
  for (void* const identity : later) {
    assume_identity(identity);
    __tsan_acquire(carrier.get());
  }
  assume_identity(self);
}
#else
void* new_identity() { return nullptr; }
void delete_identity(void*) {}
void* this_identity() { return nullptr; }
void assume_identity(void*) {}
void happens_before(std::span<void* const>, std::span<void* const>) {}
#endif

RaceWatch::RaceWatch(bool hidden) { races = {.watched = true, .hidden = hidden}; }
RaceWatch::~RaceWatch() { races = {}; }
bool RaceWatch::found() const { return races.count > 0; }

}  // namespace tests::host_cuda

#ifdef COLONNADE_TSAN
namespace __tsan {

class ReportDesc;

/// ThreadSanitizer calls this for every report and prints the report unless the result is true.
/// Declared weak in its tsan_rtl_report.cpp, to be overridden.
bool OnReport(ReportDesc const*, bool suppressed) {
  using tests::host_cuda::races;
  if (!races.watched || suppressed) return suppressed;
  ++races.count;
  return races.hidden;
}

}  // namespace __tsan

/// ThreadSanitizer reads these options before the environment: a race is reported every time, even
/// if it was reported before with another barrier missing.
extern "C" char const* __tsan_default_options() {
  return "suppress_equal_stacks=0:suppress_equal_addresses=0";
}
#endif
