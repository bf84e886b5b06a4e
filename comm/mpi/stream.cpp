#include "comm/mpi/stream.h"
#include <algorithm>
#include <mpi.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "comm/mpi/operation.h"

namespace comm {
namespace {

using std::chrono::microseconds;

// Sleep between two polls of a collective that no thread waits for. A poll takes about a
// microsecond.
constexpr microseconds shortest_pause{5};
constexpr microseconds longest_pause{50};
// Sleep while the queue is empty. Polling continues, because MPI may hold the tail of a message
// that it reports as sent. Waking the thread for new work would cost more than the delay of this
// sleep.
constexpr microseconds idle_pause{500};
// Time after an error for the messages still in flight.
constexpr std::chrono::seconds settling_time{1};

/// Lets this thread run as soon as it wakes, even if all cores are busy: Linux (from 6.12) lets a
/// waking thread preempt a running one only if it asks for a shorter slice. On other systems the
/// call has no effect and may fail.
void ask_for_short_slices() {
  struct {  // sched_attr, which the C library does not declare
    uint32_t size = sizeof(*this), policy = 0;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t slice_ns = 100'000, deadline = 0, period = 0;
  } attributes;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

Stream::Stream(Clock::duration timeout) : timeout_(timeout), thread_([this] { run(); }) {}

Stream::~Stream() {
  stop_ = true;
  thread_.join();
}

void Stream::push(Operation& operation) {
  std::lock_guard const lock(mutex_);
  if (given_up_) {
    operation.failure_ = given_up_;
    return;
  }
  operation.done_ = false;
  queue_.push_back(&operation);
  advance();  // sends the first messages immediately
}

void Stream::wait(Operation& operation) {
  ++waiting_;
  std::unique_lock lock(mutex_);
  auto const begin = Clock::now();
  while (!operation.done_) {
    if (advance()) continue;
    auto const idle = Clock::now() - std::max(begin, moved_);
    if (timeout_ > timeout_.zero() && idle > timeout_)
      give_up(std::make_exception_ptr(Timeout(queue_.front()->complaint(timeout_))));
    lock.unlock();
    std::this_thread::yield();
    lock.lock();
  }
  --waiting_;
}

bool Stream::advance() {
  if (queue_.empty()) {
    int arrived = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &arrived, MPI_STATUS_IGNORE);
    return false;
  }
  Operation& first = *queue_.front();
  bool const moved = first.advance();
  if (moved) moved_ = Clock::now();
  if (first.done_)
    queue_.pop_front();
  else if (first.failure_ && Clock::now() - moved_ > settling_time)
    give_up(first.failure_);
  return moved;
}

void Stream::give_up(std::exception_ptr const& reason) {
  given_up_ = reason;
  abandoned_.push_back(std::move(queue_.front()->tensors_));
  for (Operation* const operation : queue_) {
    operation->failure_ = reason;
    operation->done_ = true;
  }
  queue_.clear();
}

void Stream::run() {
  prctl(PR_SET_TIMERSLACK, 1000UL);  // ns; the default adds 50 us to every sleep
  ask_for_short_slices();
  microseconds pause = idle_pause;
  while (!stop_) {
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, longest_pause);
    std::unique_lock lock(mutex_, std::defer_lock);
    if (waiting_ > 0 || !lock.try_lock()) continue;
    if (advance()) pause = shortest_pause;
    if (queue_.empty()) pause = idle_pause;
  }
}

}  // namespace comm
