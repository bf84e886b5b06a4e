#include "tests/support/fake_cuda/nccl_group.h"
#include <algorithm>
#include "tests/support/fake_cuda/fake_cuda.h"

namespace tests::fake_cuda {
namespace {

struct Part {
  std::shared_ptr<ncclComm> comm;
  Calls calls;
};

struct Group {
  int depth = 0;
  std::vector<Part> parts;
  std::vector<std::function<ncclResult_t()>> actions;
  ncclResult_t error = ncclSuccess;
};

thread_local Group group;

Part& part_of(std::shared_ptr<ncclComm> const& comm, CUstream_st* stream) {
  auto const same = [&](Part const& part) { return part.comm == comm; };
  auto const found = std::find_if(group.parts.begin(), group.parts.end(), same);
  if (found == group.parts.end()) return group.parts.emplace_back(Part{comm, {stream, {}, {}}});
  if (found->calls.stream != stream)
    misuse(comm->name() + ": one group on two streams: the stand-in uses the first");
  return *found;
}

/// The first error, or else ncclInProgress, or else ncclSuccess.
ncclResult_t merge(ncclResult_t a, ncclResult_t b) {
  if (a == ncclSuccess || (a == ncclInProgress && b != ncclSuccess)) return b;
  return a;
}

}  // namespace

void group_start() { ++group.depth; }

void group_add(std::shared_ptr<ncclComm> const& comm, CUstream_st* stream, Call const& call,
               std::optional<Fault> const& fault) {
  Calls& calls = part_of(comm, stream).calls;
  calls.calls.push_back(call);
  if (fault) calls.fault = fault;
}

void group_add(std::function<ncclResult_t()> action) { group.actions.push_back(std::move(action)); }

void group_fail(ncclResult_t status) {
  if (group.error == ncclSuccess) group.error = status;
}

ncclResult_t group_end() {
  if (group.depth == 0) {
    misuse("ncclGroupEnd without ncclGroupStart");
    return ncclInvalidUsage;
  }
  if (--group.depth > 0) return ncclSuccess;
  Group const now = std::exchange(group, {});
  ncclResult_t status = now.error;
  for (auto const& [comm, calls] : now.parts) {
    if (now.error != ncclSuccess) break;
    comm->queue(calls);
    status = ncclInProgress;
  }
  for (auto const& action : now.actions) status = merge(status, action());
  return status;
}

}  // namespace tests::fake_cuda
