// Streams and events of the CUDA runtime.
#include "tests/support/fake_cuda/memory.h"
#include "tests/support/fake_cuda/runtime.h"

namespace tests::fake_cuda {
namespace {

/// A stream waits for an event of a capture: it joins the capture.
cudaError_t join_capture(cudaStream_t stream, Frontier const& event) {
  auto const& mine = stream->end.capture;
  if (mine && mine != event.capture)
    return invalidate(stream, cudaErrorStreamCaptureMerge, "two captures are merged");
  if (event.capture->streams.empty())
    return fail(cudaErrorCapturedEvent, "a wait for an event of a capture that has ended");
  stream->end.capture = event.capture;
  event.capture->streams.insert(stream);
  stream->end.add(event);
  return check_valid(stream);
}

}  // namespace
}  // namespace tests::fake_cuda

using namespace tests::fake_cuda;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  CALL;
  if (flags != cudaStreamNonBlocking)
    return fail(cudaErrorInvalidValue, "a stream that waits for the default stream");
  *stream = new CUstream_st;
  return cudaSuccess;
}

/// Returns at once; the stream's work runs to its end.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  CALL;
  if (stream->end.capture) misuse("a stream is destroyed during its capture");
  forget_stream(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  CALL;
  *status = !stream->end.capture         ? cudaStreamCaptureStatusNone
            : stream->end.capture->valid ? cudaStreamCaptureStatusActive
                                         : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Frontier end;
  {
    CALL;
    if (auto const error = check_safe(__func__)) return error;
    if (stream->end.capture)
      return invalidate(stream, cudaErrorStreamCaptureUnsupported,
                        "cudaStreamSynchronize of a captured stream");
    end = stream->end;
  }
  wait_for(end);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  CALL;
  if (auto const error = check_safe(__func__)) return error;
  let_run();
  return done(stream->end) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  CALL;
  if (auto const error = check_valid(stream)) return error;
  if (!event->recorded) return cudaSuccess;
  if (event->recorded->capture) return join_capture(stream, *event->recorded);
  if (stream->end.capture)
    return invalidate(stream, cudaErrorStreamCaptureIsolation,
                      "a captured stream waits for an event from outside the capture");
  stream->end.add(*event->recorded);
  return cudaSuccess;
}

// Events

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  CALL;
  *event = new CUevent_st{(flags & cudaEventDisableTiming) == 0, {}};
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  CALL;
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  CALL;
  if (auto const error = check_valid(stream)) return error;
  event->recorded = stream->end;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  CALL;
  if (auto const error = check_safe(__func__)) return error;
  if (!event->recorded) return cudaSuccess;
  if (event->recorded->capture)
    return fail(cudaErrorCapturedEvent, "cudaEventQuery of a captured event");
  let_run();
  // The runtime does not keep cudaErrorNotReady as the last error.
  return done(*event->recorded) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Frontier recorded;
  {
    CALL;
    if (auto const error = check_safe(__func__)) return error;
    if (!event->recorded) return cudaSuccess;
    if (event->recorded->capture)
      return fail(cudaErrorCapturedEvent, "cudaEventSynchronize of a captured event");
    recorded = *event->recorded;
  }
  wait_for(recorded);
  return cudaSuccess;
}

/// A random time.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  CALL;
  if (!begin->timed || !end->timed || !begin->recorded || !end->recorded)
    return fail(cudaErrorInvalidResourceHandle, "time between events that do not measure it");
  if (!done(*begin->recorded) || !done(*end->recorded)) return cudaErrorNotReady;
  *milliseconds = 0.01f * static_cast<float>(1 + random(100));
  return cudaSuccess;
}
}
