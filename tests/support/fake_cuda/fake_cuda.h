#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct CUstream_st;

/// A stand-in for the CUDA runtime, cuBLASLt, cuDNN's backend API and NCCL, for tests on machines
/// without a GPU: docs/testing.md. A program that links this library instead of NVIDIA's runs
/// Colonnade's host-side CUDA code unchanged, with the kernels on the simulator of
/// tests/support/host_cuda. It implements the calls that Colonnade makes, and no others.
///
/// Work is queued and runs later, in an order that respects only what the streams and events
/// guarantee, so that a missing dependency changes results. What CUDA's documentation forbids is
/// refused with the documented status, and reported as misuse.
namespace tests::fake_cuda {

/// When queued work runs, unless the host waits for it.
enum class Order {
  lazy,    ///< as late as possible
  eager,   ///< as soon as its dependencies allow
  random,  ///< at random times, in a random order among the work whose dependencies are done
};

struct Settings {
  Order order = Order::random;
  uint64_t seed = 1;                     ///< of Order::random, and of the order of a graph's nodes
  size_t memory = size_t{8} << 30;       ///< bytes of the GPU
};

/// Settings of the process. Change them only while no work is queued.
Settings const& settings();
void set(Settings const& settings);

/// Work of a stream that may take several calls: returns true when it is done, and false if it
/// waits for something outside this process (another rank) and is to be called again.
using Work = std::function<bool()>;

/// Queues work on a stream; while the stream is captured, adds it to the graph, which calls a copy
/// of it in every replay. `what` names it in reports and must be a literal.
void enqueue(CUstream_st* stream, char const* what, Work work);

/// True while the stream is captured.
bool capturing(CUstream_st* stream);

/// The graph that captures `stream` owns `owned` until the graph and its instances are destroyed.
void attach_to_graph(CUstream_st* stream, std::shared_ptr<void> owned);

/// Lets queued collectives run while the host waits for other processes. Called when a communicator
/// of several ranks is created; a thread then runs whatever the oldest collective depends on.
void run_in_background();

/// Records a use that CUDA forbids, or whose result would be undefined. Printed at once; the test
/// program fails on it.
void misuse(std::string const& what);
/// The uses recorded since the last call.
std::vector<std::string> take_misuses();

/// True if [data, data + bytes) lies in live memory of the stand-in's GPU, as of the work that runs
/// now.
bool on_gpu(void const* data, size_t bytes);

/// Runs everything that is queued.
void finish();

/// What has happened since the process began.
struct Counts {
  int64_t work = 0, allocations = 0, graphs = 0, replays = 0;
  int64_t nodes = 0;         ///< of the last graph
  int64_t memory_nodes = 0;  ///< of them, allocations and frees
};
Counts counts();

}  // namespace tests::fake_cuda
