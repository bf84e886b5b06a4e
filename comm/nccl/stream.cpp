#include "comm/nccl/stream.h"
#include <nccl.h>

namespace comm {
namespace {

/// Interval between two checks, and so the maximum delay before a failure is noticed.
constexpr std::chrono::milliseconds pause{10};

struct RecordedStep final : BetweenEvents {
  std::string name() const override { return "a recorded step"; }
};

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
  device_.around_replay([this](std::function<void()> const& launch) { replay(launch); });
}

NcclStream::~NcclStream() {
  stop_ = true;
  thread_.join();
  if (aborting_.joinable()) aborting_.join();
  device_.after_wait(nullptr);
  device_.around_replay(nullptr);
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
  auto event = mark(device_.stream());
  core::cuda::check(cudaStreamWaitEvent(handle(), event.get()));
  return event;
}

NcclStream::Event NcclStream::mark(core::cuda::StreamHandle stream) {
  auto event = this->event();
  core::cuda::check(cudaEventRecord(event.get(), stream));
  return event;
}

void NcclStream::precede_compute(Event const& mark) const {
  core::cuda::check(cudaStreamWaitEvent(device_.stream(), mark.get()));
}

bool NcclStream::recording() const { return core::cuda::capturing(device_.stream()); }

void NcclStream::replay(std::function<void()> const& launch) {
  watchdog_.check();
  auto const step = std::make_shared<RecordedStep>();
  step->ready = mark(device_.stream());
  launch();
  step->done = mark(device_.stream());
  watchdog_.add(step);
}

std::shared_ptr<NcclGroup> NcclStream::join(std::shared_ptr<NcclStream> const& stream,
                                            Communicator& hosts) {
  std::shared_ptr<NcclGroup> group(new NcclGroup(hosts, stream->timeout()),
                                   [stream](NcclGroup* closed) {
                                     {
                                       std::scoped_lock const lock(stream->mutex_);
                                       std::erase(stream->groups_, closed);
                                     }
                                     delete closed;
                                   });
  std::scoped_lock const lock(stream->mutex_);
  stream->groups_.push_back(group.get());
  return group;
}

std::string NcclStream::error() {
  std::scoped_lock const lock(mutex_);
  for (NcclGroup* const group : groups_)
    if (auto error = group->error(); !error.empty()) return error;
  return "";
}

void NcclStream::end() {
  std::vector<std::function<void()>> aborts;
  {
    std::scoped_lock const lock(mutex_);
    for (NcclGroup* const group : groups_) aborts.push_back(group->abandon());
  }
  // An abort waits until no graph holds the group. The thread that called may own such a graph.
  aborting_ = std::thread([aborts = std::move(aborts)] {
    ncclGroupStart();
    for (auto const& abort : aborts) abort();
    ncclGroupEnd();
  });
}

}  // namespace comm
