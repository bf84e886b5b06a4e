#pragma once
#include <memory>
#include "tests/support/fake_cuda/nccl_comm.h"
#include "tests/support/fake_cuda/nccl_exchange.h"

namespace tests::fake_cuda {

/// A group of calls as the GPU runs it: Work for enqueue(). Copies begin anew.
class GroupWork {
 public:
  GroupWork(std::shared_ptr<ncclComm> comm, Calls calls, bool captured);

  /// Returns true once the group has ended, or its communicator was aborted.
  bool operator()();

 private:
  struct Group {
    std::shared_ptr<ncclComm> comm;
    Calls calls;
    bool captured;
    int64_t runs = 0;
  };

  void begin();
  bool fails();
  bool buffers_are_live() const;
  bool end();

  std::shared_ptr<Group> group_;
  std::shared_ptr<Exchange> exchange_;  // null before the first call
  bool stuck_ = false;                  // waits for an abort
};

}  // namespace tests::fake_cuda
