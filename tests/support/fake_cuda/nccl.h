#pragma once
#include <chrono>
#include <cstdint>

/// Control of the stand-in for NCCL: failures on demand, and what is still alive.
///
/// Ranks are processes of one host that meet in POSIX shared memory. Communicators are
/// non-blocking: a thread completes each call after a short delay, whose length depends on the
/// seed of Settings. Sums are taken in the order of the ranks. Ranks whose calls disagree are
/// reported as misuse, and then wait until they are aborted, as they may with NCCL.
///
/// Programs that run under mpirun read a failure from the environment as well:
/// COLONNADE_FAKE_NCCL=fail_at:17,way:reported,rank:1,after:0,patience:2000
/// with the names below; patience is in milliseconds, and every key may be left out.
namespace tests::fake_cuda {

enum class Failure {
  refused,   ///< The call returns an error, and so does its group.
  reported,  ///< The group is accepted and never runs; ncclCommGetAsyncError returns the error.
  remote,    ///< The group never ends on the stream; ncclCommGetAsyncError returns the error.
  hang       ///< The group never ends on the stream, without an error.
};

/// A failure of one collective or point-to-point call.
struct Fault {
  int64_t at = 0;  ///< number of the call, as counted by collectives(); the first is 1
  Failure way = Failure::reported;
  int rank = -1;      ///< rank that fails, in this process's first communicator; -1: all ranks
  int64_t after = 0;  ///< runs on the stream that succeed first; a captured call runs per replay
};

/// Replaces the failure to come.
void inject(Fault const& fault);
/// Number of calls of collectives, sends and receives by this process, failed ones included. A
/// replay of a graph calls nothing.
int64_t collectives();
/// Number of communicators of this process that were neither destroyed nor aborted.
int64_t live_communicators();
/// How long a call waits where NCCL would have no limit, before it reports a misuse and returns.
/// 10 s at first.
void set_patience(std::chrono::milliseconds patience);

}  // namespace tests::fake_cuda
