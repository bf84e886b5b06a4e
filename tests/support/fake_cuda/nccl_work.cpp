#include "tests/support/fake_cuda/nccl_work.h"
#include <utility>
#include "tests/support/fake_cuda/fake_cuda.h"

namespace tests::fake_cuda {

GroupWork::GroupWork(std::shared_ptr<ncclComm> comm, Calls calls, bool captured)
    : group_(std::make_shared<Group>(Group{std::move(comm), std::move(calls), captured})) {}

bool GroupWork::operator()() {
  ncclComm& comm = *group_->comm;
  if (comm.ended()) return end();
  if (!exchange_) {
    if (!comm.begin_work(group_.get())) return false;
    begin();
  }
  if (stuck_) return false;
  try {
    return exchange_->advance() && end();
  } catch (Disagreement const& error) {
    misuse(comm.name() + ": the calls of the ranks disagree: " + error.what());
    stuck_ = true;
    return false;
  }
}

void GroupWork::begin() {
  exchange_ = std::make_shared<Exchange>(group_->calls.calls, group_->comm->meeting());
  stuck_ = fails() || !buffers_are_live();
}

bool GroupWork::fails() {
  auto const& fault = group_->calls.fault;
  if (!fault || group_->runs++ < fault->after) return false;
  if (fault->way == Failure::remote) group_->comm->report(ncclRemoteError);
  return true;
}

bool GroupWork::buffers_are_live() const {
  int const rank = group_->comm->rank(), size = group_->comm->size();
  for (Call const& call : group_->calls.calls) {
    size_t const read = call.read(rank, size), written = call.written(rank, size);
    bool const live =
        (read == 0 || on_gpu(call.from, read)) && (written == 0 || on_gpu(call.to, written));
    if (!live) {
      misuse(group_->comm->name() + ": " + call.describe() +
             ": a buffer is not in live GPU memory");
      return false;
    }
  }
  return true;
}

bool GroupWork::end() {
  group_->comm->end_work(group_.get());
  if (!group_->captured) group_->comm->work_left(-1);
  exchange_.reset();
  stuck_ = false;
  return true;
}

}  // namespace tests::fake_cuda
