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
/// Work is queued and runs later, in an order that respects only what streams and events guarantee,
/// so that a missing dependency changes results. What CUDA's documentation forbids is refused with
/// the documented status and reported as misuse.
namespace tests::fake_cuda {

/// When queued work runs, unless the host waits for it.
enum class Order {
  lazy,    ///< not before
  eager,   ///< as soon as its dependencies allow
  random,  ///< at random times, in a random order among the work whose dependencies are done
};

struct Settings {
  Order order = Order::random;
  uint64_t seed = 1;                ///< for Order::random, and for the order of a graph's nodes
  size_t memory = size_t{8} << 30;  ///< bytes of the GPU
};

/// Settings of the process; initially those of the environment variable COLONNADE_FAKE_CUDA, which
/// has the form of `parse`. Change them only while no work is queued.
Settings const& settings();
void set(Settings const& settings);
/// Parses "ORDER[:SEED[:BYTES]]", such as "lazy", "random:3" or "eager:1:1000000".
/// Throws: core::Error if the text has another form.
Settings parse(std::string const& text);

/// Work of a stream that may take several calls: returns true when it is done, and false if it
/// waits for something outside this process (another rank) and is to be called again.
using Work = std::function<bool()>;

/// Queues work on a stream; while the stream is captured, adds it to the graph, which calls a copy
/// of it in every replay. `what` names it in reports and must be a literal. If the stream's capture
/// is invalid, only the thread's last error is set, as a kernel launch does.
void enqueue(CUstream_st* stream, char const* what, Work work);

/// True while the stream is captured.
bool capturing(CUstream_st* stream);

/// The graph that captures `stream` owns `owned` until the graph and its instances are destroyed.
void attach_to_graph(CUstream_st* stream, std::shared_ptr<void> owned);

/// From now on a thread runs queued work while the host does not call CUDA, so that a collective
/// that other ranks wait for is reached although the host waits in MPI.
void run_in_background();

/// Records a use that CUDA forbids, or whose result would be undefined. It is printed at once. A
/// process that ends with such a record, which nobody has taken, exits with code 70.
void misuse(std::string const& what);
/// The uses recorded since the last call.
std::vector<std::string> take_misuses();

/// Whether [data, data + bytes) lies in GPU memory that is allocated when the current work runs.
bool on_gpu(void const* data, size_t bytes);
/// Whether the address belongs to memory that the graph captured on `stream` allocates.
bool allocated_by_graph(CUstream_st* stream, void const* data);

/// Runs everything that is queued.
void finish();
/// Runs some queued work, if any can run now.
void run_some();

/// The next call of the runtime function of this name returns `status` (a cudaError_t) and does
/// nothing else.
void fail_next(std::string const& call, int status);

/// Nodes of the graph that was captured last.
struct Nodes {
  int64_t all = 0;
  int64_t memory = 0;  ///< allocations and frees
};
Nodes last_graph();

}  // namespace tests::fake_cuda
