// The stand-in for the CUDA runtime itself: what it allows, forbids and reorders.
#include <catch2/catch.hpp>
#include <cmath>
#include <thread>
#include "core/cuda/handle.h"
#include "tests/support/fake_cuda/under.h"

namespace fake_cuda = tests::fake_cuda;
using core::cuda::check;
using core::cuda::Event;
using core::cuda::follow;
using core::cuda::make_event;
using core::cuda::make_stream;
using core::cuda::Stream;
using fake_cuda::Order;
using fake_cuda::Under;

namespace {

using Texts = std::vector<std::string>;

/// Adds `number` to a list when the work runs.
void note(std::vector<int>& list, int number, Stream const& stream) {
  fake_cuda::enqueue(stream.get(), "note", [&list, number] {
    list.push_back(number);
    return true;
  });
}

/// Whether work of seeds 1 to 20 has run in both orders.
template <class F>
bool both_orders(F const& run) {
  bool in_order = false, reversed = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Under const under({Order::random, seed});
    std::vector<int> const list = run();
    REQUIRE(list.size() == 2);
    (list[0] < list[1] ? in_order : reversed) = true;
  }
  return in_order && reversed;
}

cudaMemPool_t pool() {
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, 0));
  return pool;
}

float* allocate(int64_t count, Stream const& stream) {
  void* memory = nullptr;
  check(cudaMallocFromPoolAsync(&memory, static_cast<size_t>(count) * sizeof(float), pool(),
                                stream.get()));
  return static_cast<float*>(memory);
}

float download(float const* from, Stream const& stream) {
  float value = 0;
  check(cudaMemcpyAsync(&value, from, sizeof value, cudaMemcpyDeviceToHost, stream.get()));
  return value;
}

void begin_capture(Stream const& stream) {
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
}

core::cuda::GraphExec end_capture(Stream const& stream) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream.get(), &graph));
  core::cuda::Graph const owned(graph);
  cudaGraphExec_t instance = nullptr;
  check(cudaGraphInstantiate(&instance, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch));
  return core::cuda::GraphExec(instance);
}

/// Captures `work`, in which something is forbidden: the call has `status`, the capture fails, and
/// the misuse is reported.
template <class F>
void check_forbidden(cudaError_t status, F const& work) {
  Stream const stream = make_stream();
  begin_capture(stream);
  CHECK(work(stream) == status);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream.get(), &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  cudaGetLastError();
  CHECK(fake_cuda::take_misuses().size() == 1);
}

}  // namespace

TEST_CASE("stand-in for CUDA: streams without an event -> run in any order") {
  CHECK(both_orders([] {
    std::vector<int> list;
    Stream const a = make_stream(), b = make_stream();
    note(list, 1, a);
    note(list, 2, b);
    fake_cuda::finish();
    return list;
  }));
}

TEST_CASE("stand-in for CUDA: an event between streams -> runs in its order") {
  CHECK_FALSE(both_orders([] {
    std::vector<int> list;
    Stream const a = make_stream(), b = make_stream();
    Event const event = make_event();
    note(list, 1, a);
    follow(a.get(), b.get(), event);
    note(list, 2, b);
    fake_cuda::finish();
    return list;
  }));
}

TEST_CASE("stand-in for CUDA: lazy order -> a wait runs what it waits for, and nothing else") {
  std::vector<int> list;
  Under const under({Order::lazy});
  Stream const a = make_stream(), b = make_stream(), c = make_stream();
  Event const event = make_event();
  note(list, 1, a);
  note(list, 2, b);
  follow(a.get(), c.get(), event);
  note(list, 3, c);
  CHECK(list.empty());
  check(cudaStreamSynchronize(c.get()));
  CHECK(list == std::vector<int>{1, 3});
}

TEST_CASE(
    "stand-in for CUDA: an event recorded again -> a wait that was queued keeps its meaning") {
  std::vector<int> list;
  Under const under({Order::lazy});
  Stream const a = make_stream(), b = make_stream();
  Event const event = make_event();
  note(list, 1, a);
  follow(a.get(), b.get(), event);
  note(list, 2, a);
  check(cudaEventRecord(event.get(), a.get()));
  check(cudaStreamSynchronize(b.get()));
  CHECK(list == std::vector<int>{1});
}

TEST_CASE("stand-in for CUDA: memory -> NaN when fresh and when freed, and reused at once") {
  Stream const stream = make_stream();
  float* const first = allocate(3, stream);
  CHECK(std::isnan(download(first, stream)));
  float const one = 1;
  check(cudaMemcpyAsync(first, &one, sizeof one, cudaMemcpyHostToDevice, stream.get()));
  CHECK(download(first, stream) == 1);
  check(cudaFreeAsync(first, stream.get()));
  float* const second = allocate(3, stream);
  CHECK(second == first);
  CHECK(std::isnan(download(second, stream)));
  check(cudaFreeAsync(second, stream.get()));
  CHECK(cudaFreeAsync(second, stream.get()) == cudaErrorInvalidValue);
  cudaGetLastError();
  download(second, stream);
  CHECK(fake_cuda::take_misuses() == Texts{"cudaFreeAsync of memory that is not allocated",
                                           "a copy from memory that is not allocated on the GPU"});
}

TEST_CASE("stand-in for CUDA: page-locked memory -> read when the copy runs") {
  Under const under({Order::lazy});
  Stream const stream = make_stream();
  float* const there = allocate(1, stream);
  void* pinned = nullptr;
  check(cudaMallocHost(&pinned, sizeof(float)));
  auto* const here = static_cast<float*>(pinned);
  *here = 1;
  check(cudaMemcpyAsync(there, here, sizeof(float), cudaMemcpyHostToDevice, stream.get()));
  *here = 2;
  CHECK(download(there, stream) == 2);
  check(cudaMemcpyAsync(there, here, sizeof(float), cudaMemcpyHostToDevice, stream.get()));
  check(cudaFreeHost(pinned));
  CHECK(fake_cuda::take_misuses() ==
        Texts{"page-locked memory is freed before a queued copy has used it"});
  check(cudaFreeAsync(there, stream.get()));
}

TEST_CASE("stand-in for CUDA: calls that a capture forbids -> the documented status") {
  check_forbidden(cudaErrorStreamCaptureUnsupported,
                  [](Stream const& s) { return cudaStreamSynchronize(s.get()); });
  check_forbidden(cudaErrorStreamCaptureUnsupported,
                  [](Stream const&) { return cudaMemPoolTrimTo(pool(), 0); });
  check_forbidden(cudaErrorStreamCaptureUnsupported, [](Stream const&) {
    void* memory = nullptr;
    return cudaMallocHost(&memory, 1);
  });
  check_forbidden(cudaErrorStreamCaptureUnsupported, [](Stream const&) {
    Event const event = make_event();
    return cudaEventQuery(event.get());
  });
  check_forbidden(cudaErrorStreamCaptureUnsupported, [](Stream const&) {
    Event const event = make_event();
    return cudaEventSynchronize(event.get());
  });
  check_forbidden(cudaErrorStreamCaptureUnsupported, [](Stream const& s) {
    float here = 0;
    float* const there = allocate(1, s);
    return cudaMemcpyAsync(there, &here, sizeof here, cudaMemcpyHostToDevice, s.get());
  });
  check_forbidden(cudaErrorStreamCaptureUnsupported, [](Stream const& s) {
    float here = 0;
    float* const there = allocate(1, s);
    return cudaMemcpyAsync(&here, there, sizeof here, cudaMemcpyDeviceToHost, s.get());
  });
}

TEST_CASE("stand-in for CUDA: memory from outside a capture, freed in it -> refused") {
  Stream const outside = make_stream();
  float* const memory = allocate(1, outside);
  check_forbidden(cudaErrorInvalidValue,
                  [&](Stream const& s) { return cudaFreeAsync(memory, s.get()); });
  check(cudaFreeAsync(memory, outside.get()));
}

TEST_CASE("stand-in for CUDA: events across the bounds of a capture -> refused") {
  Stream const outside = make_stream();
  Event const before = make_event(), inside = make_event();
  check(cudaEventRecord(before.get(), outside.get()));
  check_forbidden(cudaErrorStreamCaptureIsolation,
                  [&](Stream const& s) { return cudaStreamWaitEvent(s.get(), before.get(), 0); });

  Stream const stream = make_stream();
  begin_capture(stream);
  check(cudaEventRecord(inside.get(), stream.get()));
  std::thread([&] { CHECK(cudaEventQuery(inside.get()) == cudaErrorCapturedEvent); }).join();
  end_capture(stream);
  CHECK(cudaStreamWaitEvent(outside.get(), inside.get(), 0) == cudaErrorCapturedEvent);
  cudaGetLastError();
  CHECK(fake_cuda::take_misuses().size() == 2);
}

TEST_CASE("stand-in for CUDA: a stream of a capture that is not joined -> no graph") {
  Stream const stream = make_stream(), other = make_stream();
  Event const event = make_event();
  std::vector<int> list;
  begin_capture(stream);
  follow(stream.get(), other.get(), event);
  note(list, 1, other);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream.get(), &graph) == cudaErrorStreamCaptureUnjoined);
  cudaGetLastError();
  CHECK(fake_cuda::take_misuses() == Texts{"a stream of a capture was not joined"});
  CHECK_FALSE(fake_cuda::capturing(other.get()));
}

TEST_CASE("stand-in for CUDA: a graph -> replays in any order that its edges allow") {
  auto const captured = [](bool joined_first) {
    std::vector<int> list;
    Stream const stream = make_stream(), other = make_stream();
    Event const fork = make_event(), join = make_event();
    begin_capture(stream);
    follow(stream.get(), other.get(), fork);
    note(list, 1, other);
    if (joined_first) follow(other.get(), stream.get(), join);
    note(list, 2, stream);
    if (!joined_first) follow(other.get(), stream.get(), join);
    auto const graph = end_capture(stream);
    CHECK(list.empty());
    check(cudaGraphLaunch(graph.get(), stream.get()));
    check(cudaStreamSynchronize(stream.get()));
    return list;
  };
  CHECK(both_orders([&] { return captured(false); }));
  CHECK_FALSE(both_orders([&] { return captured(true); }));
}

TEST_CASE("stand-in for CUDA: memory of a graph -> NaN outside the nodes that own it") {
  Stream const stream = make_stream();
  float* const kept = allocate(1, stream);
  begin_capture(stream);
  float* const memory = allocate(1, stream);
  check(cudaMemcpyAsync(kept, memory, sizeof(float), cudaMemcpyDeviceToDevice, stream.get()));
  check(cudaFreeAsync(memory, stream.get()));
  float* const again = allocate(1, stream);
  check(cudaFreeAsync(again, stream.get()));
  auto const graph = end_capture(stream);
  CHECK(again == memory);  // the free precedes the allocation
  CHECK(fake_cuda::last_graph().memory == 4);
  for (int i = 0; i < 2; ++i) check(cudaGraphLaunch(graph.get(), stream.get()));
  CHECK(std::isnan(download(kept, stream)));
  download(memory, stream);
  CHECK(fake_cuda::take_misuses() == Texts{"a copy from memory that is not allocated on the GPU"});
  check(cudaFreeAsync(kept, stream.get()));
}

TEST_CASE("stand-in for CUDA: pool and graphs -> share the memory of the GPU until trimmed") {
  check(cudaMemPoolTrimTo(pool(), 0));
  Under const under({Order::random, 1, 1000});
  Stream const stream = make_stream();
  begin_capture(stream);
  check(cudaFreeAsync(allocate(150, stream), stream.get()));
  auto const graph = end_capture(stream);
  void* memory = nullptr;
  auto const take = [&](size_t bytes) {
    return cudaMallocFromPoolAsync(&memory, bytes, pool(), stream.get());
  };
  check(take(600));
  check(cudaFreeAsync(memory, stream.get()));
  CHECK(cudaGraphLaunch(graph.get(), stream.get()) == cudaErrorMemoryAllocation);
  check(cudaStreamSynchronize(stream.get()));
  check(cudaMemPoolTrimTo(pool(), 0));
  CHECK(cudaGraphLaunch(graph.get(), stream.get()) == cudaSuccess);
  check(cudaStreamSynchronize(stream.get()));
  CHECK(take(600) == cudaErrorMemoryAllocation);
  check(cudaDeviceGraphMemTrim(0));
  CHECK(take(600) == cudaSuccess);
  check(cudaFreeAsync(memory, stream.get()));
  cudaGetLastError();
  check(cudaStreamSynchronize(stream.get()));
  check(cudaMemPoolTrimTo(pool(), 0));
}

TEST_CASE("stand-in for CUDA: a failure that the test asks for -> the next call of that name") {
  fake_cuda::fail_next("cudaMemPoolTrimTo", cudaErrorUnknown);
  CHECK(cudaMemPoolTrimTo(pool(), 0) == cudaErrorUnknown);
  CHECK(cudaGetLastError() == cudaErrorUnknown);
  CHECK(cudaMemPoolTrimTo(pool(), 0) == cudaSuccess);
}
