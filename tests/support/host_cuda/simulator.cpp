#include "tests/support/host_cuda/simulator.h"
#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include "tests/support/host_cuda/sanitizers.h"

namespace tests::host_cuda {
namespace {

struct BarriersMet {
  std::mutex mutex;
  std::set<Site> sites;
};

BarriersMet& barriers_met() {
  static BarriersMet met;
  return met;
}

void check_limits(Launch const& launch) {
  constexpr size_t most_shared = 48 << 10;
  auto const [x, y, z] = launch.blocks;
  bool const fits = x <= 0x7FFFFFFFu && y <= 65535 && z <= 65535;
  core::check(x > 0 && y > 0 && z > 0 && fits, {"launch of (", launch.at}, x, ", ", y, ", ", z,
              ") blocks; allowed: 1 to (2147483647, 65535, 65535)");
  core::check(launch.threads >= 1 && launch.threads <= 1024, {"launch of ", launch.at},
              launch.threads, " threads per block; allowed: 1 to 1024");
  core::check(launch.shared <= most_shared, {"launch with ", launch.at}, launch.shared,
              " bytes of dynamic shared memory per block; the limit is ", most_shared);
}

/// Block indices in execution order.
std::vector<uint64_t> turns_of(dim3 blocks) {
  std::vector<uint64_t> numbers(uint64_t{blocks.x} * blocks.y * blocks.z);
  std::iota(numbers.begin(), numbers.end(), uint64_t{0});
  std::mt19937_64 random(settings().seed);
  arrange(numbers, settings().order, random);
  return numbers;
}

uint3 index_of(uint64_t number, dim3 blocks) {
  return {unsigned(number % blocks.x), unsigned(number / blocks.x % blocks.y),
          unsigned(number / blocks.x / blocks.y)};
}

/// Runs blocks until all have finished or one has failed.
class Grid {
 public:
  explicit Grid(Launch const& launch) : launch_(launch), turns_(turns_of(launch.blocks)) {}

  void work() {
    try {
      for (size_t turn; !failed_ && (turn = next_++) < turns_.size();) run_block(turns_[turn]);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
  }
  void finish() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run_block(uint64_t number) {
    Block::current().run(launch_, index_of(number, launch_.blocks), settings().order,
                         settings().seed + number);
  }

  Launch const& launch_;
  std::vector<uint64_t> turns_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::exception_ptr failure_;
};

}  // namespace

Settings& settings() {
  static Settings now;
  return now;
}

void run(Launch const& launch) {
  check_limits(launch);
  Grid grid(launch);
  {
    // Under sanitizers static shared memory is not per thread: see __shared__ in language.h.
    int const others = thread_sanitizer || address_sanitizer ? 0 : settings().os_threads - 1;
    std::vector<std::jthread> helpers;
    for (int i = 0; i < others; ++i) helpers.emplace_back([&] { grid.work(); });
    grid.work();
  }
  grid.finish();
}

namespace {
Queue stream_queue = nullptr;
}

void set_queue(Queue queue) { stream_queue = queue; }

void launch(CUstream_st* stream, Launch const& launch) {
  if (stream == nullptr) return run(launch);
  core::check(stream_queue != nullptr, "a launch on a stream, without a runtime that has streams");
  stream_queue(stream, launch);
}

void fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

std::set<Site> take_barriers_met() {
  std::scoped_lock const lock(barriers_met().mutex);
  return std::exchange(barriers_met().sites, {});
}

void note_barrier(Site const& site) {
  std::scoped_lock const lock(barriers_met().mutex);
  barriers_met().sites.insert(site);
}

}  // namespace tests::host_cuda
