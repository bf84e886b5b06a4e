#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>
#include "tests/support/fake_cuda/meeting.h"
#include "tests/support/fake_cuda/nccl_faults.h"

struct CUstream_st;

namespace tests::fake_cuda {

/// What a group holds for one communicator and one stream.
struct Calls {
  CUstream_st* stream = nullptr;
  std::vector<Call> calls;
  std::optional<Fault> fault;
};

/// Message of the last error, for ncclGetLastError.
void set_last_error(std::string const& text);
std::string last_error();

}  // namespace tests::fake_cuda

/// A communicator: this rank's part of it. Calls that take long run on a thread of its own, one at
/// a time; `status` is ncclInProgress until the last one has ended.
struct ncclComm : std::enable_shared_from_this<ncclComm> {
 public:
  using Job = std::function<ncclResult_t()>;

  ncclComm(int size, int rank, int number);
  ~ncclComm();
  ncclComm(ncclComm const&) = delete;
  ncclComm& operator=(ncclComm const&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// "communicator 2 (rank 0 of 3)".
  std::string name() const;
  tests::fake_cuda::Meeting& meeting() { return *meeting_; }

  /// Starts to join the other ranks.
  void join(std::string const& meeting);
  /// Starts to queue the calls of a group.
  void queue(tests::fake_cuda::Calls calls);
  /// Starts to wait for the work of all ranks.
  void finalize();
  /// Ends all work, now and later, without waiting for it; then waits for the job in progress.
  void end();
  /// After `end`: starts to wait until this rank's work has ended.
  void revoke();
  /// After `end` or `finalize`: waits for what still uses this communicator.
  void release();

  /// Result of the last job, or what its work on the GPU reported.
  ncclResult_t status() const;
  /// Status of a call that is about to be made: ncclSuccess, or the error that it must return.
  ncclResult_t ready(char const* call);
  /// Records the failure of a call.
  ncclResult_t fail(ncclResult_t status, std::string const& reason);

  // Used by the work on the GPU.
  bool ended() const { return ended_; }
  /// Work of a communicator runs one after another: returns false while other work is running.
  bool begin_work(void const* work);
  void end_work(void const* work);
  void work_left(int change) { work_ += change; }
  void report(ncclResult_t status) { reported_ = status; }

  /// One thread at a time may use a communicator, except to abort or revoke it.
  std::atomic<bool> in_use = false;
  std::atomic<bool> finalized = false, revoked = false;

 private:
  void start(Job job);
  void stop_thread();
  ncclResult_t meet(std::string const& name);
  ncclResult_t launch(tests::fake_cuda::Calls const& calls);
  ncclResult_t settle_down();
  /// Waits up to the patience. Returns false if `done` has not become true, which is a misuse.
  bool wait(std::function<bool()> const& done, std::string const& what) const;
  bool idle() const;
  void check_registration(tests::fake_cuda::Calls const& calls) const;
  std::shared_ptr<void> reference_of_graph();

  int size_, rank_, number_;
  bool registers_buffers_;  // of captured collectives: NCCL_GRAPH_REGISTER
  std::mt19937_64 random_;
  std::unique_ptr<tests::fake_cuda::Meeting> meeting_;
  std::atomic<ncclResult_t> result_ = ncclInProgress, reported_ = ncclSuccess;
  std::atomic<bool> ended_ = false;
  std::atomic<int> work_ = 0;    // groups queued on streams and not ended
  std::atomic<int> graphs_ = 0;  // references from captured groups
  std::atomic<void const*> running_ = nullptr;
  std::mutex mutex_;  // guards thread_
  std::thread thread_;
};
