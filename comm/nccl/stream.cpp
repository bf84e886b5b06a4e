#include "comm/nccl/stream.h"
#include <nccl.h>

namespace comm {
namespace {

/// Interval between two checks, and so the maximum delay before a failure is noticed.
constexpr std::chrono::milliseconds pause{10};

}  // namespace

/// Pool of events: creating an event takes longer than recording it.
struct NcclStream::Events {
  std::mutex mutex;
  std::vector<core::cuda::Event> free;

  core::cuda::Event take() {
    std::scoped_lock const lock(mutex);
    if (free.empty()) return core::cuda::make_event();
    auto event = std::move(free.back());
    free.pop_back();
    return event;
  }
  void give_back(core::cuda::Event event) {
    std::scoped_lock const lock(mutex);
    free.push_back(std::move(event));
  }
};

NcclStream::NcclStream(core::cuda::Cuda& device, Clock::duration timeout)
    : device_(device),
      timeout_(timeout),
      events_(std::make_shared<Events>()),
      watchdog_(*this, timeout),
      thread_([this] { run(); }) {
  device_.after_wait([this] { watchdog_.check(); });
}

NcclStream::~NcclStream() {
  stop_ = true;
  thread_.join();
  device_.after_wait(nullptr);
}

void NcclStream::run() {
  try {
    device_.bind();
  } catch (...) {
    watchdog_.fail(std::current_exception());
  }
  while (!stop_) {
    watchdog_.look(Clock::now());
    std::this_thread::sleep_for(pause);
  }
}

NcclStream::Event NcclStream::event() {
  auto event = events_->take();
  return {event.release(),
          [events = events_](cudaEvent_t used) { events->give_back(core::cuda::Event(used)); }};
}

NcclStream::Event NcclStream::follow_compute() {
  auto event = this->event();
  core::cuda::check(cudaEventRecord(event.get(), device_.stream()));
  core::cuda::check(cudaStreamWaitEvent(handle(), event.get()));
  return event;
}

NcclStream::Event NcclStream::mark() {
  auto event = this->event();
  core::cuda::check(cudaEventRecord(event.get(), handle()));
  return event;
}

void NcclStream::precede_compute(Event const& mark) const {
  core::cuda::check(cudaStreamWaitEvent(device_.stream(), mark.get()));
}

bool NcclStream::recording() const { return core::cuda::capturing(device_.stream()); }

void NcclStream::add(NcclGroup& group) {
  std::scoped_lock const lock(mutex_);
  groups_.push_back(&group);
}

void NcclStream::remove(NcclGroup& group) {
  std::scoped_lock const lock(mutex_);
  std::erase(groups_, &group);
}

std::string NcclStream::error() {
  std::scoped_lock const lock(mutex_);
  for (NcclGroup* const group : groups_)
    if (auto error = group->error(); !error.empty()) return error;
  return "";
}

void NcclStream::end() {
  std::scoped_lock const lock(mutex_);
  ncclGroupStart();
  for (NcclGroup* const group : groups_) group->end();
  ncclGroupEnd();
}

}  // namespace comm
