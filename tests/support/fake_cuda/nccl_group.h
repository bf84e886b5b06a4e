#pragma once
#include <functional>
#include <utility>
#include "tests/support/fake_cuda/nccl_comm.h"

namespace tests::fake_cuda {

/// Groups of NCCL calls: of each thread, nested to any depth. All of a group begins when its
/// outermost level ends.

void group_start();
/// Adds a call to the group.
void group_add(std::shared_ptr<ncclComm> const& comm, CUstream_st* stream, Call const& call,
               std::optional<Fault> const& fault);
/// Adds any other action, which returns ncclInProgress if it has begun and completes later.
void group_add(std::function<ncclResult_t()> action);
/// The group fails as a whole: its calls do not run.
void group_fail(ncclResult_t status);
/// Returns ncclInProgress if something of the group completes later.
ncclResult_t group_end();

/// Runs `add` in a group of its own, or in the one that is open. Returns the error of either.
template <class Add>
ncclResult_t in_group(Add const& add) {
  group_start();
  ncclResult_t const status = add();
  if (status != ncclSuccess) group_fail(status);
  ncclResult_t const ended = group_end();
  return status != ncclSuccess ? status : ended;
}

}  // namespace tests::fake_cuda
