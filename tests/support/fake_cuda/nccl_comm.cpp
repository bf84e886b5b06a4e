#include "tests/support/fake_cuda/nccl_comm.h"
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <utility>
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/fake_cuda/nccl_work.h"

using namespace tests::fake_cuda;

namespace {

constexpr std::chrono::microseconds poll{50};
/// A job begins up to this much later than its call returns.
constexpr int longest_delay = 100;  // microseconds
constexpr char const* for_graph = "waits for a graph that holds collectives of the communicator";

bool registers_graph_buffers() {
  char const* const value = std::getenv("NCCL_GRAPH_REGISTER");
  return value == nullptr || std::string_view(value) != "0";
}

std::mutex text_mutex;
std::string text_of_last_error;

}  // namespace

namespace tests::fake_cuda {

void set_last_error(std::string const& text) {
  std::scoped_lock const lock(text_mutex);
  text_of_last_error = text;
}

std::string last_error() {
  std::scoped_lock const lock(text_mutex);
  return text_of_last_error;
}

}  // namespace tests::fake_cuda

ncclComm::ncclComm(int size, int rank, int number)
    : size_(size),
      rank_(rank),
      number_(number),
      registers_buffers_(size > 1 && registers_graph_buffers()),
      random_(settings().seed + static_cast<uint64_t>(number * most_ranks + rank)) {}

ncclComm::~ncclComm() { end(); }

std::string ncclComm::name() const {
  return "NCCL communicator " + std::to_string(number_) + " (rank " + std::to_string(rank_) +
         " of " + std::to_string(size_) + ")";
}

void ncclComm::start(Job job) {
  stop_thread();
  result_ = ncclInProgress;
  std::chrono::microseconds const delay(random_() % longest_delay);
  std::scoped_lock const lock(mutex_);
  thread_ = std::thread([this, delay, job = std::move(job)] {
    std::this_thread::sleep_for(delay);
    try {
      result_ = job();
    } catch (std::exception const& error) {
      result_ = fail(ncclSystemError, error.what());
    }
  });
}

void ncclComm::stop_thread() {
  std::scoped_lock const lock(mutex_);
  if (thread_.joinable()) thread_.join();
}

bool ncclComm::wait(std::function<bool()> const& done, std::string const& what) const {
  auto const limit = std::chrono::steady_clock::now() + patience();
  while (!done()) {
    if (std::chrono::steady_clock::now() > limit) {
      misuse(name() + ": " + what + "; NCCL has no limit for this");
      return false;
    }
    if (size_ == 1) run_some();  // nothing runs in the background
    std::this_thread::sleep_for(poll);
  }
  return true;
}

void ncclComm::join(std::string const& meeting) {
  start([this, meeting] { return meet(meeting); });
}

ncclResult_t ncclComm::meet(std::string const& name) {
  meeting_ = std::make_unique<Meeting>(name, rank_, size_);
  while (!meeting_->complete()) {
    if (ended()) return ncclInternalError;
    std::this_thread::sleep_for(poll);
  }
  if (rank_ == 0) meeting_->close();
  return ncclSuccess;
}

void ncclComm::queue(Calls calls) {
  start([this, calls = std::move(calls)] { return launch(calls); });
}

ncclResult_t ncclComm::launch(Calls const& calls) {
  if (ended()) return ncclSuccess;
  if (calls.fault && calls.fault->way == Failure::reported)
    return fail(ncclSystemError, "a failure on demand");
  bool const captured = capturing(calls.stream);
  if (captured) {
    attach_to_graph(calls.stream, reference_of_graph());
    if (registers_buffers_) check_registration(calls);
  } else {
    work_left(+1);
  }
  char const* const what = calls.calls.size() > 1 ? "NCCL group" : name_of(calls.calls[0].kind);
  enqueue(calls.stream, what, GroupWork(shared_from_this(), calls, captured));
  return ncclSuccess;
}

void ncclComm::check_registration(Calls const& calls) const {
  for (Call const& call : calls.calls)
    if (allocated_by_graph(calls.stream, call.from) || allocated_by_graph(calls.stream, call.to))
      misuse(name() + ": " + call.describe() +
             ": NCCL_GRAPH_REGISTER is not 0, so NCCL registers memory that the graph allocates");
}

std::shared_ptr<void> ncclComm::reference_of_graph() {
  ++graphs_;
  return {this, [comm = shared_from_this()](void*) { --comm->graphs_; }};
}

bool ncclComm::begin_work(void const* work) {
  void const* expected = nullptr;
  return running_.compare_exchange_strong(expected, work);
}

void ncclComm::end_work(void const* work) { running_.compare_exchange_strong(work, nullptr); }

/// With one rank, nothing runs in the background, and the streams may be idle until the host waits.
bool ncclComm::idle() const { return work_ == 0 || size_ == 1; }

void ncclComm::finalize() {
  finalized = true;
  start([this] { return settle_down(); });
}

ncclResult_t ncclComm::settle_down() {
  if (size_ == 1 && work_ > 0) finish();
  while (!ended() && work_ > 0) std::this_thread::sleep_for(poll);
  if (!wait([this] { return graphs_ == 0; }, "ncclCommFinalize " + std::string(for_graph)))
    return ncclInternalError;
  meeting_->leave();
  while (!ended() && !meeting_->all_left()) std::this_thread::sleep_for(poll);
  return ncclSuccess;
}

void ncclComm::end() {
  ended_ = true;
  stop_thread();
}

void ncclComm::revoke() {
  start([this] {
    return wait([this] { return idle(); }, "ncclCommRevoke waits for its work on the GPU")
               ? ncclSuccess
               : ncclInternalError;
  });
}

void ncclComm::release() {
  stop_thread();
  if (finalized || revoked) {
    if (graphs_ > 0) misuse(name() + ": destroyed before a graph that holds its collectives");
    return;
  }
  wait([this] { return idle(); }, "ncclCommAbort waits for its work, which is queued behind other");
  wait([this] { return graphs_ == 0; }, "ncclCommAbort " + std::string(for_graph));
}

ncclResult_t ncclComm::status() const {
  auto const result = result_.load();
  return result == ncclSuccess ? reported_.load() : result;
}

ncclResult_t ncclComm::ready(char const* call) {
  if (revoked) return fail(ncclInvalidUsage, std::string(call) + ": the communicator was revoked");
  auto const now = status();
  if (now != ncclInProgress) return now;
  misuse(name() + ": " + call + " before the last call has completed: poll ncclCommGetAsyncError");
  set_last_error(std::string(call) + ": the last call has not completed");
  return ncclInvalidArgument;
}

ncclResult_t ncclComm::fail(ncclResult_t status, std::string const& reason) {
  set_last_error(name() + ": " + reason);
  result_ = status;
  return status;
}
