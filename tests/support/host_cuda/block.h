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

/// What threads of a block wait for together.
enum class Op : uint8_t { syncthreads, syncwarp, shfl, shfl_up, shfl_down, shfl_xor, ballot };

/// A thread's call of it.
struct Call {
  Op op;
  core::Place at;
  unsigned mask = 0;   ///< of warp operations: the lanes that take part
  uint64_t value = 0;  ///< shuffles: the bits given; ballot: whether the predicate holds
  int operand = 0;     ///< shuffles: a lane, a distance, or bits to flip
  int width = 32;      ///< shuffles: of the groups of lanes that exchange
};

/// Where a call stands in a kernel's source.
struct Site {
  std::string_view file;
  int line;
  Site(core::Place at) : file(at.file), line(at.line) {}
  auto operator<=>(Site const&) const = default;
};

/// In which order a grid's blocks, and a block's threads after each barrier, have their turn.
enum class Order { ascending, descending, shuffled };

template <class T>
void arrange(std::vector<T>& items, Order order, std::mt19937_64& random) {
  if (order == Order::descending) std::reverse(items.begin(), items.end());
  if (order == Order::shuffled) std::shuffle(items.begin(), items.end(), random);
}

/// A kernel with its arguments, and its grid.
struct Launch {
  core::Place at;  ///< of the call
  dim3 blocks;
  unsigned threads = 0;  ///< of a block
  size_t shared = 0;     ///< bytes of dynamic shared memory a block
  std::function<void()> kernel;
};

/// Runs blocks, one after another. Every CUDA thread is a fiber, which runs until it waits for
/// others; who goes on is decided outside the fibers.
class Block {
 public:
  /// The block that this thread of the host runs.
  static Block& current();

  /// Runs block `index` of the launch. Throws core::Error where threads wait for what cannot come,
  /// use a collective operation wrongly, write past the dynamic shared memory, or race
  /// (ThreadSanitizer).
  void run(Launch const& launch, uint3 index, Order order, uint64_t seed);

  /// From kernels: waits for the others of the call. A shuffle gives the bits of the lane asked;
  /// all ones where that lane takes no part, which CUDA leaves undefined. ballot gives its bits.
  uint64_t meet(Call const& call);
  /// From kernels.
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
  std::vector<Thread*> turns_;  // in which threads begin
  std::deque<Thread*> ready_;   // what they waited for has come
  Thread* running_ = nullptr;
  size_t begun_ = 0, finished_ = 0, at_barrier_ = 0;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> vacant_;
};

}  // namespace tests::host_cuda
