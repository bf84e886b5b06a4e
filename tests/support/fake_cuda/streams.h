#pragma once
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include "tests/support/fake_cuda/memory.h"

/// Streams, events and captured graphs: what runs after what.
namespace tests::fake_cuda {

/// State of a piece of work after a call.
enum class Progress {
  done,
  going,    ///< has done something and is not finished
  waiting,  ///< for something outside this process
};

/// Queued work, and the work it waits for.
struct Operation {
  char const* what;
  std::function<Progress()> advance;
  std::vector<std::shared_ptr<Operation>> after;
  bool done = false;
};
using OperationPtr = std::shared_ptr<Operation>;

struct Node {
  char const* what;
  Work work;
  std::set<int> after;  ///< numbers of the nodes it waits for
};

/// A captured graph.
struct Graph {
  std::vector<Node> nodes;
  std::vector<std::shared_ptr<void>> owned;
  GraphMemory memory;
};

/// A capture in progress.
struct Capture {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  CUstream_st* origin;
  std::thread::id thread;
  bool
      any_thread;  ///< cudaStreamCaptureModeGlobal: unsafe calls of other threads are forbidden too
  bool valid = true;
  std::set<CUstream_st*> streams;
};
using CapturePtr = std::shared_ptr<Capture>;

/// The last work of a stream that later work of the stream waits for.
struct Frontier {
  std::vector<OperationPtr> operations;
  CapturePtr capture;   ///< if the stream is, or the event was, captured
  std::set<int> nodes;  ///< nodes of the capture

  void add(Frontier const& other);
};

/// Guards everything of the stand-in. Work runs under it.
std::recursive_mutex& mutex();
/// A number in [0, below), from the seed of the settings.
size_t random(size_t below);

void queue(OperationPtr operation);
/// Runs what the operations of the frontier wait for, and them.
void wait_for(Frontier const& frontier);
bool done(Frontier const& frontier);
/// Called where the host looks at the GPU without waiting: runs some work, except with Order::lazy.
void let_run();

/// Returns the name of the calling thread's last error and clears it; empty if there is none.
std::string take_last_error();

/// Adds a node to the stream's capture.
void add_node(CUstream_st* stream, char const* what, Work work);
/// One execution of a graph, to be advanced until it is done.
std::function<Progress()> replay(std::shared_ptr<Graph> const& graph);
/// Whether node `earlier` precedes the end of the captured stream.
bool precedes(CUstream_st* stream, int earlier);

}  // namespace tests::fake_cuda

struct CUstream_st {
  tests::fake_cuda::Frontier end;
};

struct CUevent_st {
  bool timed;
  std::optional<tests::fake_cuda::Frontier> recorded;
};
