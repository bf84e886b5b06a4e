#include "comm/nccl/group.h"
#include <cstring>
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

NcclGroup::NcclGroup(Communicator& hosts, Clock::duration timeout) : timeout_(timeout) {
  auto const id = shared_id(hosts);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm* comm = nullptr;
  check(ncclCommInitRankConfig(&comm, hosts.size(), id, hosts.rank(), &config), nullptr);
  comm_ = comm;
  try {
    settle();
  } catch (...) {
    end();
    throw;
  }
}

NcclGroup::~NcclGroup() {
  try {
    close();
  } catch (core::Error const&) {  // the other ranks do not respond, and a destructor must not throw
  }
  end();
}

void NcclGroup::close() {
  ncclComm* const comm = comm_;
  if (comm == nullptr) return;
  check(ncclCommFinalize(comm), comm);
  settle();
  comm_ = nullptr;
  ncclCommDestroy(comm);
}

void NcclGroup::enqueue(Transfers const& transfers, core::cuda::StreamHandle stream) {
  if (transfers.empty()) return;
  {
    std::scoped_lock const lock(mutex_);
    ncclComm* const comm = comm_;
    core::check(comm != nullptr, "the NCCL communicator was aborted");
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
      std::scoped_lock const lock(mutex_);
      ncclComm* const comm = comm_;
      core::check(comm != nullptr, "the NCCL communicator was aborted");
      auto status = ncclSuccess;
      check(ncclCommGetAsyncError(comm, &status), comm);
      check(status, comm);
      if (status == ncclSuccess) return;
    }
    if (timeout_ > timeout_.zero() && Clock::now() - begin > timeout_)
      throw Timeout(core::join("NCCL has waited for other ranks for ",
                               std::chrono::duration<double>(timeout_).count(), " s"));
  }
}

std::string NcclGroup::error() {
  std::unique_lock const lock(mutex_, std::try_to_lock);
  ncclComm* const comm = comm_;
  if (!lock || comm == nullptr) return "";
  auto status = ncclSuccess;
  auto const asked = ncclCommGetAsyncError(comm, &status);
  if (failed(asked)) return text_of(asked, comm);
  return failed(status) ? text_of(status, comm) : "";
}

void NcclGroup::end() noexcept {
  // After the timeout, continues without the lock: the call that holds it can return only after the
  // abort.
  std::unique_lock const lock(mutex_, longest_call);
  if (ncclComm* const comm = comm_.exchange(nullptr)) ncclCommAbort(comm);
}

}  // namespace comm
