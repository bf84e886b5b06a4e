#pragma once
#include <optional>
#include <set>
#include <utility>
#include "tests/support/host_cuda/block.h"

struct CUstream_st;

/// Runs CUDA kernels on the host, for tests: docs/testing.md.
namespace tests::host_cuda {

/// Handling of a race that ThreadSanitizer finds in a kernel. The launch throws in both cases.
enum class Races {
  reported,  ///< ThreadSanitizer prints its position and fails the process.
  hidden     ///< Not printed: the race is expected.
};

/// Options of kernel execution.
struct Settings {
  Order order = Order::ascending;
  uint64_t seed = 1;   ///< Seed of Order::shuffled.
  int os_threads = 1;  ///< Host threads that share a grid's blocks; 1 under sanitizers.
  Races races = Races::reported;
  std::optional<Site> skipped_barrier;  ///< __syncthreads or __syncwarp to be ignored.
};

/// Settings of all launches of the process. Change them between launches only.
Settings& settings();

/// Applies settings during its lifetime.
class Under {
 public:
  explicit Under(Settings now) : before_(std::exchange(settings(), std::move(now))) {}
  ~Under() { settings() = before_; }
  Under(Under const&) = delete;
  Under& operator=(Under const&) = delete;

 private:
  Settings before_;
};

/// Runs the kernel on the whole grid.
///  Throws: core::Error as Block::run does, and if a GPU would reject the launch: no blocks or
///  threads, more than 1024 threads, 2^31 - 1 blocks in x or 65,535 in y and z, or 48 KiB of
///  dynamic shared memory. (Static shared memory of a kernel is not checked.)
void run(Launch const& launch);

/// Receives the launches of streams, instead of `run`: a stand-in for the CUDA runtime.
using Queue = void (*)(CUstream_st*, Launch const&);
void set_queue(Queue queue);
/// Queues the launch on the stream. Without a stream it runs at once.
///  Throws: core::Error as `run` does, or the queue.
void launch(CUstream_st* stream, Launch const& launch);

/// Returns the positions of the __syncthreads and __syncwarp calls executed since the process began
/// or since the last call.
std::set<Site> take_barriers_met();

/// Called by kernels: a fence of host memory.
void fence();

/// Called by Block: threads have completed a barrier.
void note_barrier(Site const& site);

}  // namespace tests::host_cuda
