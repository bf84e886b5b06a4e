#include "tests/support/fake_cuda/nccl.h"
#include <cstring>
#include <map>
#include <string>
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/fake_cuda/nccl_group.h"

using namespace tests::fake_cuda;

namespace {

/// The communicators of this process that are neither destroyed nor aborted.
struct Registry {
  std::mutex mutex;
  std::map<ncclComm*, std::shared_ptr<ncclComm>> live;
  int created = 0;
};

Registry& registry() {
  static Registry all;
  return all;
}

std::shared_ptr<ncclComm> create(int size, int rank) {
  std::scoped_lock const lock(registry().mutex);
  auto comm = std::make_shared<ncclComm>(size, rank, registry().created++);
  registry().live[comm.get()] = comm;
  return comm;
}

void forget(ncclComm* comm) {
  std::scoped_lock const lock(registry().mutex);
  registry().live.erase(comm);
}

/// Returns the communicator; null, which is a misuse, if it is not alive.
std::shared_ptr<ncclComm> find(ncclComm* handle, char const* call) {
  std::scoped_lock const lock(registry().mutex);
  auto const found = registry().live.find(handle);
  if (found != registry().live.end()) return found->second;
  misuse(std::string(call) + ": the communicator is null, destroyed or aborted");
  return nullptr;
}

/// A call that uses a communicator, of one thread.
class Use {
 public:
  Use(ncclComm* handle, char const* call) : comm_(find(handle, call)) {
    if (!comm_) return;
    alone_ = !comm_->in_use.exchange(true);
    if (!alone_) misuse(comm_->name() + ": " + call + " while another thread uses it");
  }
  ~Use() {
    if (alone_) comm_->in_use = false;
  }
  Use(Use const&) = delete;
  Use& operator=(Use const&) = delete;

  explicit operator bool() const { return comm_ != nullptr; }
  ncclComm* operator->() const { return comm_.get(); }
  std::shared_ptr<ncclComm> const& comm() const { return comm_; }

 private:
  std::shared_ptr<ncclComm> comm_;
  bool alone_ = false;
};

bool overlap(void const* a, size_t bytes_a, void const* b, size_t bytes_b) {
  auto const *const x = static_cast<std::byte const*>(a), *const y =
                                                              static_cast<std::byte const*>(b);
  return x < y + bytes_b && y < x + bytes_a;
}

/// Whether `from` and `to` may lie in the same memory, as NCCL's documentation has it.
bool in_place(Call const& call, int rank) {
  auto const block = static_cast<size_t>(rank) * call.bytes();
  switch (call.kind) {
    case Kind::all_gather:
      return call.from == call.to + block;
    case Kind::reduce_scatter:
      return call.to == call.from + block;
    default:
      return call.from == call.to;
  }
}

bool aligned(void const* data, ncclDataType_t type) {
  return reinterpret_cast<uintptr_t>(data) % width_of(type) == 0;
}

/// Returns what is wrong with the arguments, which NCCL itself may not notice; null if nothing.
char const* undefined_use(Call const& call, ncclComm const& comm) {
  size_t const read = call.read(comm.rank(), comm.size());
  size_t const written = call.written(comm.rank(), comm.size());
  if (read > 0 && call.from == nullptr) return "the source is null";
  if (written > 0 && call.to == nullptr) return "the target is null";
  if (!aligned(call.from, call.type) || !aligned(call.to, call.type))
    return "a buffer is not aligned to the type";
  if (read > 0 && written > 0 && overlap(call.from, read, call.to, written) &&
      !in_place(call, comm.rank()))
    return "source and target overlap, but not as an operation in place";
  return nullptr;
}

/// Returns what NCCL refuses in the arguments; null if nothing.
char const* invalid_argument(Call const& call, ncclComm const& comm) {
  if (width_of(call.type) == 0) return "data type that the stand-in does not have";
  if (call.how != ncclSum && call.how != ncclMax)
    return "operation that the stand-in does not have";
  if (call.peer < 0 || call.peer >= comm.size()) return "rank out of range";
  return nullptr;
}

ncclResult_t add(Call const& call, ncclComm_t handle, cudaStream_t stream) {
  Use const use(handle, name_of(call.kind));
  if (!use) return ncclInvalidArgument;
  auto const fault = next_call();
  if (auto const status = use->ready(name_of(call.kind)); status != ncclSuccess) return status;
  if (auto const* const reason = invalid_argument(call, *use.comm())) {
    misuse(use->name() + ": " + call.describe() + ": " + reason);
    return use->fail(ncclInvalidArgument, reason);
  }
  if (auto const* const reason = undefined_use(call, *use.comm()))
    misuse(use->name() + ": " + call.describe() + ": " + reason);
  if (fault && fault->way == Failure::refused)
    return use->fail(ncclUnhandledCudaError, "a failure on demand");
  if (call.count > 0 || call.point_to_point()) group_add(use.comm(), stream, call, fault);
  return ncclSuccess;
}

ncclResult_t run(Call const& call, ncclComm_t comm, cudaStream_t stream) {
  return in_group([&] { return add(call, comm, stream); });
}

std::byte const* source(void const* data) { return static_cast<std::byte const*>(data); }
std::byte* target(void* data) { return static_cast<std::byte*>(data); }

bool valid(ncclConfig_t const* config) {
  ncclConfig_t const initial = NCCL_CONFIG_INITIALIZER;
  return config != nullptr && config->magic == initial.magic && config->size == initial.size;
}

}  // namespace

int64_t tests::fake_cuda::live_communicators() {
  std::scoped_lock const lock(registry().mutex);
  return static_cast<int64_t>(registry().live.size());
}

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::string const name = Meeting::new_name();
  std::memset(id, 0, sizeof *id);
  name.copy(id->internal, sizeof id->internal - 1);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (comm == nullptr || !valid(config) || size < 1 || rank < 0 || rank >= size)
    return ncclInvalidArgument;
  if (config->blocking != 0 || size > most_ranks) {
    misuse("ncclCommInitRankConfig: the stand-in has non-blocking communicators of 1 to 8 ranks");
    return ncclInvalidUsage;
  }
  set_process_rank(rank);
  if (size > 1) run_in_background();
  auto const created = create(size, rank);
  *comm = created.get();
  return in_group([&] {
    group_add([created, name = std::string(id.internal)] {
      created->join(name);
      return ncclInProgress;
    });
    return ncclSuccess;
  });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* status) {
  Use const use(comm, "ncclCommGetAsyncError");
  if (!use || status == nullptr) return ncclInvalidArgument;
  *status = use->status();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  Use const use(comm, "ncclCommFinalize");
  if (!use) return ncclInvalidArgument;
  if (use->finalized || use->revoked) {
    misuse(use->name() + ": ncclCommFinalize after ncclCommFinalize or ncclCommRevoke");
    return ncclInvalidArgument;
  }
  return in_group([&] {
    if (auto const status = use->ready("ncclCommFinalize"); status != ncclSuccess) return status;
    group_add([finalized = use.comm()] {
      finalized->finalize();
      return ncclInProgress;
    });
    return ncclSuccess;
  });
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  Use const use(comm, "ncclCommDestroy");
  if (!use) return ncclInvalidArgument;
  if (!use->finalized && !use->revoked)
    misuse(use->name() + ": ncclCommDestroy without ncclCommFinalize waits for other ranks");
  if (!use->revoked)
    if (auto const status = use->ready("ncclCommDestroy"); status != ncclSuccess) return status;
  return in_group([&] {
    group_add([destroyed = use.comm()] {
      destroyed->release();
      forget(destroyed.get());
      return ncclSuccess;
    });
    return ncclSuccess;
  });
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  auto const aborted = find(comm, "ncclCommAbort");
  if (!aborted) return ncclInvalidArgument;
  aborted->end();
  return in_group([&] {
    group_add([aborted] {
      aborted->release();
      forget(aborted.get());
      return ncclSuccess;
    });
    return ncclSuccess;
  });
}

ncclResult_t ncclCommRevoke(ncclComm_t comm, int flags) {
  if (comm == nullptr) return ncclSuccess;
  auto const revoked = find(comm, "ncclCommRevoke");
  if (!revoked || flags != NCCL_REVOKE_DEFAULT || revoked->finalized ||
      revoked->revoked.exchange(true))
    return ncclInvalidArgument;
  revoked->end();
  return in_group([&] {
    group_add([revoked] {
      revoked->revoke();
      return ncclInProgress;
    });
    return ncclSuccess;
  });
}

ncclResult_t ncclGroupStart() {
  group_start();
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() { return group_end(); }

ncclResult_t ncclAllReduce(void const* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t how, ncclComm_t comm, cudaStream_t stream) {
  return run({Kind::all_reduce, source(from), target(to), count, type, how}, comm, stream);
}

ncclResult_t ncclAllGather(void const* from, void* to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return run({Kind::all_gather, source(from), target(to), count, type}, comm, stream);
}

ncclResult_t ncclReduceScatter(void const* from, void* to, size_t count, ncclDataType_t type,
                               ncclRedOp_t how, ncclComm_t comm, cudaStream_t stream) {
  return run({Kind::reduce_scatter, source(from), target(to), count, type, how}, comm, stream);
}

ncclResult_t ncclBroadcast(void const* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return run({Kind::broadcast, source(from), target(to), count, type, ncclSum, root}, comm, stream);
}

ncclResult_t ncclReduce(void const* from, void* to, size_t count, ncclDataType_t type,
                        ncclRedOp_t how, int root, ncclComm_t comm, cudaStream_t stream) {
  return run({Kind::reduce, source(from), target(to), count, type, how, root}, comm, stream);
}

ncclResult_t ncclSend(void const* from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return run({Kind::send, source(from), nullptr, count, type, ncclSum, peer}, comm, stream);
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return run({Kind::receive, nullptr, target(to), count, type, ncclSum, peer}, comm, stream);
}

char const* ncclGetErrorString(ncclResult_t status) {
  switch (status) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

char const* ncclGetLastError(ncclComm_t) {
  thread_local std::string text;
  text = last_error();
  return text.c_str();
}

}  // extern "C"
