#include "comm/nccl/group.h"
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <nccl.h>
#include <thread>
#include "core/cpu/device.h"

namespace comm {
namespace {

/// A longer NCCL call is blocked in a full queue, behind a collective that hangs.
constexpr std::chrono::seconds longest_call{1};

std::string text_of(ncclResult_t status, ncclComm* comm) {
  return core::join("NCCL: ", ncclGetErrorString(status), " (", ncclGetLastError(comm), ')');
}

bool failed(ncclResult_t status) { return status != ncclSuccess && status != ncclInProgress; }

void check(ncclResult_t status, ncclComm* comm, core::Place at = core::Place::here()) {
  if (failed(status)) core::fail({text_of(status, comm).c_str(), at});
}

ncclDataType_t type_of(core::Dtype dtype) {
  switch (dtype) {
    case core::Dtype::f32:
      return ncclFloat32;
    case core::Dtype::f64:
      return ncclFloat64;
    case core::Dtype::i32:
      return ncclInt32;
    case core::Dtype::i64:
      return ncclInt64;
    case core::Dtype::u8:
      return ncclUint8;
    case core::Dtype::bf16:
      return ncclBfloat16;
  }
  core::fail("NCCL: unsupported dtype");
}

ncclResult_t begin(Transfer const& t, ncclComm* comm, cudaStream_t stream) {
  auto const type = type_of(t.dtype);
  auto const how = t.how == Reduce::sum ? ncclSum : ncclMax;
  switch (t.kind) {
    case Transfer::Kind::all_reduce:
      return ncclAllReduce(t.from, t.to, t.count, type, how, comm, stream);
    case Transfer::Kind::all_gather:
      return ncclAllGather(t.from, t.to, t.count, type, comm, stream);
    case Transfer::Kind::reduce_scatter:
      return ncclReduceScatter(t.from, t.to, t.count, type, how, comm, stream);
    case Transfer::Kind::broadcast:
      return ncclBroadcast(t.from, t.to, t.count, type, t.peer, comm, stream);
    case Transfer::Kind::reduce:
      return ncclReduce(t.from, t.to, t.count, type, how, t.peer, comm, stream);
    case Transfer::Kind::send:
      return ncclSend(t.from, t.count, type, t.peer, comm, stream);
    case Transfer::Kind::receive:
      return ncclRecv(t.to, t.count, type, t.peer, comm, stream);
  }
  return ncclInvalidArgument;
}

/// NCCL registers the buffers of captured collectives with the other GPUs of the host. Ours belong
/// to the graph, which maps their memory only while it runs. A setting of the user is kept.
void leave_buffers_unregistered() { setenv("NCCL_GRAPH_REGISTER", "0", 0); }

/// Created on rank 0 and broadcast.
ncclUniqueId shared_id(Communicator& hosts) {
  core::cpu::Cpu host(1);
  ncclUniqueId id{};
  if (hosts.rank() == 0) check(ncclGetUniqueId(&id), nullptr);
  core::Tensor bytes(host, {sizeof id}, core::Dtype::u8);
  host.upload(&id, bytes);
  hosts.broadcast(bytes, 0)->wait();
  host.download(bytes, &id);
  return id;
}

}  // namespace

struct NcclGroup::State {
  ncclComm* comm = nullptr;
  std::timed_mutex mutex;               // held during calls, other than the abort
  std::atomic<bool> abandoned = false;  // set before the abort, which owns `comm` from then on

  /// Throws: core::Error after an abort.
  void check_usable() const { core::check(!abandoned, "the NCCL communicator was aborted"); }
};

NcclGroup::NcclGroup(Communicator& hosts, Clock::duration timeout)
    : timeout_(timeout), state_(std::make_shared<State>()) {
  leave_buffers_unregistered();
  auto const id = shared_id(hosts);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  check(ncclCommInitRankConfig(&state_->comm, hosts.size(), id, hosts.rank(), &config), nullptr);
  try {
    settle();
  } catch (...) {
    ncclCommAbort(state_->comm);
    throw;
  }
}

NcclGroup::~NcclGroup() {
  if (state_->abandoned) return;
  try {
    close();
  } catch (core::Error const&) {  // the other ranks do not respond, and a destructor must not throw
    ncclCommAbort(state_->comm);
  }
}

void NcclGroup::close() {
  check(ncclCommFinalize(state_->comm), state_->comm);
  settle();
  ncclCommDestroy(state_->comm);
}

void NcclGroup::enqueue(Transfers const& transfers, core::cuda::StreamHandle stream) {
  if (transfers.empty()) return;
  {
    std::scoped_lock const lock(state_->mutex);
    state_->check_usable();
    ncclComm* const comm = state_->comm;
    check(ncclGroupStart(), comm);
    auto status = ncclSuccess;
    for (Transfer const& t : transfers)
      if (!failed(status)) status = begin(t, comm, stream);
    auto const ended = ncclGroupEnd();  // always, or the next call would join this group
    check(status, comm);
    check(ended, comm);
  }
  settle();
}

void NcclGroup::settle() {
  auto const begin = Clock::now();
  for (;; std::this_thread::yield()) {
    {
      std::scoped_lock const lock(state_->mutex);
      state_->check_usable();
      auto status = ncclSuccess;
      check(ncclCommGetAsyncError(state_->comm, &status), state_->comm);
      check(status, state_->comm);
      if (status == ncclSuccess) return;
    }
    if (timeout_ > timeout_.zero() && Clock::now() - begin > timeout_)
      throw Timeout(core::join("NCCL has waited for other ranks for ",
                               std::chrono::duration<double>(timeout_).count(), " s"));
  }
}

std::string NcclGroup::error() {
  std::unique_lock const lock(state_->mutex, std::try_to_lock);
  if (!lock || state_->abandoned) return "";
  auto status = ncclSuccess;
  auto const asked = ncclCommGetAsyncError(state_->comm, &status);
  if (failed(asked)) return text_of(asked, state_->comm);
  return failed(status) ? text_of(status, state_->comm) : "";
}

std::function<void()> NcclGroup::abandon() noexcept {
  state_->abandoned = true;
  return [state = state_] {
    // No call begins from now on. One that is blocked can return only after the abort.
    static_cast<void>(std::unique_lock(state->mutex, longest_call));
    ncclCommAbort(state->comm);
  };
}

}  // namespace comm
