#pragma once
#include <optional>
#include <set>
#include <utility>
#include "tests/support/host_cuda/block.h"

/// Runs CUDA kernels on the host, for tests: docs/testing.md.
namespace tests::host_cuda {

/// What happens to a race that ThreadSanitizer finds in a kernel, beside the launch's throwing.
enum class Races {
  reported,  ///< ThreadSanitizer prints where, and fails the process
  hidden     ///< nothing: it is expected
};

/// How kernels run.
struct Settings {
  Order order = Order::ascending;
  uint64_t seed = 1;   ///< of Order::shuffled
  int os_threads = 1;  ///< threads of the host that share a grid's blocks; 1 under sanitizers
  Races races = Races::reported;
  std::optional<Site> skipped_barrier;  ///< __syncthreads or __syncwarp that does nothing
};

/// Of all launches of the process. They change between launches only.
Settings& settings();

/// Settings that hold while it lives.
class Under {
 public:
  explicit Under(Settings now) : before_(std::exchange(settings(), std::move(now))) {}
  ~Under() { settings() = before_; }
  Under(Under const&) = delete;
  Under& operator=(Under const&) = delete;

 private:
  Settings before_;
};

/// Runs the kernel on the whole grid. Throws core::Error as Block::run does, and where a GPU would
/// refuse the launch: no blocks or threads, more than 1024 threads, 2^31 - 1 blocks in x or 65,535
/// in y and z, or 48 KiB of dynamic shared memory. (What a kernel has of static shared memory is
/// not known here.)
void run(Launch const& launch);

/// Where threads have met in __syncthreads and __syncwarp since the process began, or since the
/// last call.
std::set<Site> take_barriers_met();

/// From kernels: a fence of the host's memory.
void fence();

/// From Block: threads have met.
void note_barrier(Site const& site);

}  // namespace tests::host_cuda
