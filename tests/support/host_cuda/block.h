#pragma once
#include <algorithm>
#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "core/check.h"
#include "tests/support/host_cuda/builtins.h"
#include "tests/support/host_cuda/fiber.h"
#include "tests/support/host_cuda/guarded.h"

namespace tests::host_cuda {

/// Operations in which threads of a block wait for each other.
enum class Op : uint8_t { syncthreads, syncwarp, shfl, shfl_up, shfl_down, shfl_xor, ballot };

/// One thread's call of such an operation.
struct Call {
  Op op;
  core::Place at;
  unsigned mask = 0;   ///< Warp operations: participating lanes.
  uint64_t value = 0;  ///< Shuffles: bits of the lane's value; ballot: the predicate.
  int operand = 0;     ///< Shuffles: lane, distance, or bits to flip.
  int width = 32;      ///< Shuffles: size of the groups of lanes that exchange.
};

/// Position of a call in a kernel's source.
struct Site {
  std::string_view file;
  int line;
  Site(core::Place at) : file(at.file), line(at.line) {}
  auto operator<=>(Site const&) const = default;
};

/// Execution order of a grid's blocks, and of a block's threads after each barrier.
enum class Order { ascending, descending, shuffled };

template <class T>
void arrange(std::vector<T>& items, Order order, std::mt19937_64& random) {
  if (order == Order::descending) std::reverse(items.begin(), items.end());
  if (order == Order::shuffled) std::shuffle(items.begin(), items.end(), random);
}

/// A kernel with its arguments, and its grid.
struct Launch {
  core::Place at;  ///< Position of the launch in the source.
  dim3 blocks;
  unsigned threads = 0;  ///< Threads per block.
  size_t shared = 0;     ///< Dynamic shared memory per block, in bytes.
  std::function<void()> kernel;
};

/// Runs blocks, one after another. Every CUDA thread is a fiber that runs until it waits for
/// others; scheduling happens outside the fibers.
class Block {
 public:
  /// The block that the current host thread runs.
  static Block& current();

  /// Runs block `index` of the launch.
  ///  Throws: core::Error if threads deadlock, use a collective operation incorrectly, write past
  ///  the dynamic shared memory, or race (ThreadSanitizer).
  void run(Launch const& launch, uint3 index, Order order, uint64_t seed);

  /// Called by kernels: waits for the other participants of the call. A shuffle returns the bits of
  /// the source lane, or all ones if that lane does not participate (undefined in CUDA). ballot
  /// returns its mask.
  uint64_t meet(Call const& call);
  /// Called by kernels.
  std::byte* dynamic_shared() const { return shared_->data(); }

 private:
  enum class State : uint8_t { ready, running, waiting, finished };
  struct Thread {
    unsigned number;
    State state = State::ready;
    Fiber* fiber = nullptr;
    Call call{};
    uint64_t result = 0;
  };
  static int lane_of(Thread const& thread) { return static_cast<int>(thread.number % 32); }

  void set_place(Launch const& launch, uint3 index);
  void make_threads();
  void make_fibers();
  void run_all();
  void step();
  void enter(Thread& thread);
  void run_threads(Fiber& fiber);
  Fiber& next_fiber();
  Fiber& vacant_fiber();
  void arrive(Thread const& thread);
  void complete_barrier();
  void complete_warp(Thread const& last);
  static void exchange(std::span<Thread> lanes, std::vector<Thread*> const& here);
  void release(std::vector<Thread*> threads);
  std::vector<void*> identities(std::vector<Thread*> const& threads) const;
  [[noreturn]] void fail_deadlocked() const;
  [[noreturn]] void fail(core::Place at, std::string const& what) const;

  Launch const* launch_ = nullptr;
  Order order_ = Order::ascending;
  std::mt19937_64 random_;
  std::unique_ptr<GuardedMemory> shared_;

  std::vector<Thread> threads_;
  std::vector<Thread*> turns_;  // order in which threads start
  std::deque<Thread*> ready_;   // threads whose wait is over
  Thread* running_ = nullptr;
  size_t begun_ = 0, finished_ = 0, at_barrier_ = 0;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> vacant_;
};

}  // namespace tests::host_cuda
