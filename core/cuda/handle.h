#pragma once
#include <memory>
#include <type_traits>
#include "core/cuda/check.h"

namespace core::cuda {

/// Destroys a C handle; its status is dropped, since a destructor has nobody to tell.
template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* handle) const noexcept {
    static_cast<void>(destroy(handle));
  }
};

template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

/// A stream that does not wait for the default one.
inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

/// An event that orders streams and is not timed.
inline Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

/// True while what is queued on the stream is recorded into a graph instead of run.
inline bool capturing(cudaStream_t stream) {
  auto status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

/// `later` waits for all that is queued on `earlier` now; the host goes on.
inline void follow(cudaStream_t earlier, cudaStream_t later, Event const& event) {
  check(cudaEventRecord(event.get(), earlier));
  check(cudaStreamWaitEvent(later, event.get()));
}

}  // namespace core::cuda
