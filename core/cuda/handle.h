#pragma once
#include <memory>
#include <type_traits>
#include "core/cuda/check.h"
#include "core/cuda/ignored.h"

namespace core::cuda {

/// Deleter of a C handle. Its status is ignored, because a destructor cannot throw.
template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* handle) const noexcept {
    auto const status = destroy(handle);
    if constexpr (std::is_same_v<decltype(status), cudaError_t const>)
      ignore(status, "the destruction of a CUDA handle");
  }
};

template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

/// Returns a stream that does not synchronize with the default stream.
inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

/// Returns an event without timing, for ordering streams.
inline Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

/// Returns true if the GPU has reached the event.
inline bool reached(cudaEvent_t event) {
  auto const status = cudaEventQuery(event);
  if (status == cudaErrorNotReady) return false;
  check(status);
  return true;
}

/// Returns an event that records its time.
inline Event make_timer() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event));
  return Event(event);
}

/// Returns true if the stream is being captured into a graph.
inline bool capturing(cudaStream_t stream) {
  auto status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

/// Makes stream `later` wait for all work now queued on `earlier`, without blocking the host.
inline void follow(cudaStream_t earlier, cudaStream_t later, Event const& event) {
  check(cudaEventRecord(event.get(), earlier));
  check(cudaStreamWaitEvent(later, event.get()));
}

}  // namespace core::cuda
