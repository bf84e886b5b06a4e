#include "tests/support/fake_cuda/streams.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <utility>
#include "core/check.h"

namespace tests::fake_cuda {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

/// Pending work that is looked through for something that may run.
constexpr size_t reach = 64;

Settings from_environment() {
  char const* const text = std::getenv("COLONNADE_FAKE_CUDA");
  return text == nullptr ? Settings{} : parse(text);
}

struct Queue {
  std::recursive_mutex mutex;
  Settings settings = from_environment();
  std::mt19937_64 random{settings.seed};
  std::deque<OperationPtr> pending;  ///< in the order of the calls
  Clock::time_point last_call;
};

/// Never destroyed: objects with static storage may use CUDA until the process ends.
Queue& all() {
  static auto* const queue = new Queue;
  return *queue;
}

/// The uses that are forbidden. Its destructor decides the exit code.
class Misuses {
 public:
  ~Misuses() {
    if (!texts_.empty()) std::_Exit(70);
  }
  void add(std::string const& text) {
    std::scoped_lock const lock(mutex_);
    if (texts_.size() < 20) std::cerr << "fake CUDA: " << text << std::endl;
    texts_.push_back(text);
  }
  std::vector<std::string> take() {
    std::scoped_lock const lock(mutex_);
    return std::exchange(texts_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> texts_;
};
Misuses misuses;

bool ready(Operation const& operation) {
  return std::ranges::all_of(operation.after, [](auto const& other) { return other->done; });
}

Progress advance(OperationPtr const& operation) {
  auto progress = Progress::done;
  try {
    progress = operation->advance();
  } catch (std::exception const& error) {
    misuse(core::join(operation->what, ": ", error.what()));
  }
  if (progress != Progress::done) return progress;
  operation->done = true;
  operation->advance = nullptr;
  operation->after.clear();
  std::erase(all().pending, operation);
  return progress;
}

/// Runs one operation, any that may run. Returns false if none could do anything.
bool run_any() {
  auto& pending = all().pending;
  std::vector<OperationPtr> can;
  for (size_t i = 0; i < pending.size() && i < reach; ++i)
    if (ready(*pending[i])) can.push_back(pending[i]);
  std::shuffle(can.begin(), can.end(), all().random);
  return std::ranges::any_of(
      can, [](OperationPtr const& operation) { return advance(operation) != Progress::waiting; });
}

/// Runs the operation and what it waits for, and nothing else, as far as possible. Returns false if
/// something outside this process is waited for.
bool run_only(OperationPtr const& wanted) {
  std::vector<OperationPtr> stack{wanted};
  while (!stack.empty()) {
    auto const operation = stack.back();
    auto const first =
        std::ranges::find_if(operation->after, [](auto const& o) { return !o->done; });
    if (!operation->done && first != operation->after.end()) {
      stack.push_back(*first);
      continue;
    }
    auto progress = operation->done ? Progress::done : Progress::going;
    while (progress == Progress::going) progress = advance(operation);
    if (progress == Progress::waiting) return false;
    stack.pop_back();
  }
  return true;
}

/// Returns whether anything was done.
bool run_towards(Frontier const& frontier) {
  if (settings().order != Order::lazy) return run_any();
  return std::ranges::all_of(frontier.operations, run_only);
}

[[noreturn]] void fail_stuck() {
  std::cerr << "fake CUDA: queued work waits for work that does not exist\n";
  std::abort();
}

/// Runs work while the host has not called CUDA for a while.
void run_while_idle() {
  for (;; std::this_thread::sleep_for(microseconds(500))) {
    std::scoped_lock const lock(mutex());
    if (Clock::now() - all().last_call >= std::chrono::milliseconds(2)) run_some();
  }
}

/// Replay of a graph: each step runs a node whose dependencies are done, in random order.
class Replay {
 public:
  explicit Replay(std::shared_ptr<Graph> graph) : graph_(std::move(graph)) {
    auto const& nodes = graph_->nodes;
    left_.resize(nodes.size());
    next_.resize(nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i) {
      work_.push_back(nodes[i].work);
      left_[i] = nodes[i].after.size();
      for (int const earlier : nodes[i].after) next_[size_t(earlier)].push_back(i);
      if (left_[i] == 0) can_.push_back(i);
    }
  }

  Progress advance() {
    size_t steps = settings().order == Order::random ? 1 + random(32) : left_.size();
    while (!can_.empty()) {
      if (!step()) return Progress::waiting;
      if (--steps == 0) break;
    }
    if (!can_.empty()) return Progress::going;
    graph_->memory.end_replay();
    return Progress::done;
  }

 private:
  /// Runs a node. Returns false if all that could run wait for something outside this process.
  bool step() {
    size_t const from = random(can_.size());
    for (size_t i = 0; i < can_.size(); ++i) {
      size_t const at = (from + i) % can_.size(), node = can_[at];
      if (!work_[node]()) continue;
      can_.erase(can_.begin() + static_cast<std::ptrdiff_t>(at));
      for (size_t const later : next_[node])
        if (--left_[later] == 0) can_.push_back(later);
      return true;
    }
    return false;
  }

  std::shared_ptr<Graph> graph_;
  std::vector<Work> work_;
  std::vector<size_t> left_, can_;  // dependencies to come; nodes that may run
  std::vector<std::vector<size_t>> next_;
};

}  // namespace

Settings const& settings() { return all().settings; }

void set(Settings const& settings) {
  std::scoped_lock const lock(mutex());
  core::check(all().pending.empty(), "fake CUDA: settings changed while work is queued");
  all().settings = settings;
  all().random.seed(settings.seed);
}

Settings parse(std::string const& text) {
  std::istringstream in(text);
  std::string order, seed, bytes;
  std::getline(in, order, ':');
  std::getline(in, seed, ':');
  std::getline(in, bytes);
  Settings settings;
  core::check(order == "lazy" || order == "eager" || order == "random", "fake CUDA: order '", order,
              "'; expected lazy, eager or random, then [:SEED[:BYTES]]");
  settings.order = order == "lazy" ? Order::lazy : order == "eager" ? Order::eager : Order::random;
  if (!seed.empty()) settings.seed = std::stoull(seed);
  if (!bytes.empty()) settings.memory = std::stoull(bytes);
  return settings;
}

void misuse(std::string const& what) { misuses.add(what); }
std::vector<std::string> take_misuses() { return misuses.take(); }

std::recursive_mutex& mutex() { return all().mutex; }

size_t random(size_t below) { return all().random() % below; }

void run_in_background() {
  static std::once_flag once;
  std::call_once(once, [] { std::thread(run_while_idle).detach(); });
}

void Frontier::add(Frontier const& other) {
  for (auto const& operation : other.operations)
    if (!operation->done && !std::ranges::count(operations, operation))
      operations.push_back(operation);
  nodes.insert(other.nodes.begin(), other.nodes.end());
}

void queue(OperationPtr operation) {
  all().last_call = Clock::now();
  all().pending.push_back(std::move(operation));
  if (settings().order == Order::lazy) return;
  bool const eager = settings().order == Order::eager;
  for (size_t n = eager ? all().pending.size() : random(3); n > 0 && run_any(); --n) {
  }
}

bool done(Frontier const& frontier) {
  return std::ranges::all_of(frontier.operations, [](auto const& o) { return o->done; });
}

void run_some() {
  std::scoped_lock const lock(mutex());
  for (int i = 0; i < 64 && run_any(); ++i) {
  }
}

void let_run() {
  if (settings().order == Order::lazy) return;
  for (size_t n = random(4); n > 0 && run_any(); --n) {
  }
}

void wait_for(Frontier const& frontier) {
  for (;;) {
    {
      std::scoped_lock const lock(mutex());
      all().last_call = Clock::now();
      if (done(frontier)) return;
      if (all().pending.empty()) fail_stuck();
      if (run_towards(frontier)) continue;
    }
    std::this_thread::sleep_for(microseconds(20));
  }
}

void finish() {
  Frontier everything;
  {
    std::scoped_lock const lock(mutex());
    everything.operations.assign(all().pending.begin(), all().pending.end());
  }
  wait_for(everything);
}

void add_node(CUstream_st* stream, char const* what, Work work) {
  auto& nodes = stream->end.capture->graph->nodes;
  nodes.push_back({what, std::move(work), stream->end.nodes});
  stream->end.nodes = {static_cast<int>(nodes.size()) - 1};
}

std::function<Progress()> replay(std::shared_ptr<Graph> const& graph) {
  // The state of a replay exists from its first step, when its predecessors are done.
  return [graph, state = std::shared_ptr<Replay>()]() mutable {
    if (!state) state = std::make_shared<Replay>(graph);
    return state->advance();
  };
}

bool precedes(CUstream_st* stream, int earlier) {
  auto const& nodes = stream->end.capture->graph->nodes;
  std::vector<int> todo(stream->end.nodes.begin(), stream->end.nodes.end());
  std::set<int> seen;
  while (!todo.empty()) {
    int const node = todo.back();
    todo.pop_back();
    if (node == earlier) return true;
    if (node < earlier || !seen.insert(node).second) continue;
    auto const& after = nodes[size_t(node)].after;
    todo.insert(todo.end(), after.begin(), after.end());
  }
  return false;
}

}  // namespace tests::fake_cuda
