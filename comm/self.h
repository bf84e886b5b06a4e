#pragma once
#include "comm/communicator.h"

namespace comm {

/// A group of one rank. Every collective is a copy on the tensors' own device.
class Self final : public Communicator {
 public:
  using Communicator::all_gather;

  int rank() const override { return 0; }
  int size() const override { return 1; }
  PendingPtr all_reduce(core::Tensor& t, Reduce how) override;
  PendingPtr all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) override;
  PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                            core::Tensor& mine) override;
  PendingPtr all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                        Counts const& receive) override;
  PendingPtr broadcast(core::Tensor& t, int root) override;
  void barrier() override {}
  std::unique_ptr<Communicator> split(int color) override;
};

}  // namespace comm
