#pragma once
#include "comm/collective.h"
#include "comm/nccl/stream.h"

namespace comm {

/// Ranks joined by NCCL, for tensors of one GPU a rank.
///
/// Waiting orders streams and does not block the host; so a failure may come to light after `wait`
/// has returned. It is thrown by the next call here or by the device, when the host waits for
/// results. Sums are in NCCL's order: the same bits on every rank.
/// Lives longer than what it returned, and than recordings of its collectives.
class Nccl final : public Communicator {
 public:
  /// The ranks of `hosts`, which are joined by MPI. Collective.
  Nccl(std::unique_ptr<Communicator> hosts, std::shared_ptr<NcclStream> stream);
  /// Collective, unless an exception is on its way: then others will not come, and all groups end.
  ~Nccl() override;
  Nccl(Nccl const&) = delete;
  Nccl& operator=(Nccl const&) = delete;

  using Communicator::all_gather;

  int rank() const override { return hosts_->rank(); }
  int size() const override { return hosts_->size(); }
  PendingPtr all_reduce(core::Tensor& t, Reduce how) override;
  PendingPtr all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) override;
  PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                            core::Tensor& mine) override;
  PendingPtr all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                        Counts const& receive) override;
  PendingPtr broadcast(core::Tensor& t, int root) override;
  /// Of the hosts: it does not wait for what is queued on the GPU.
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;

 private:
  PendingPtr start(Collective what, std::vector<core::Tensor> tensors, Transfers const& transfers);

  std::unique_ptr<Communicator> hosts_;
  std::shared_ptr<NcclStream> stream_;
  NcclGroup group_;
  int exceptions_;  // on their way when this was made
};

}  // namespace comm
