#pragma once
#include "comm/collective.h"
#include "comm/nccl/stream.h"

namespace comm {

/// A communicator over NCCL, for tensors on one GPU per rank.
///
/// `Pending::wait` orders streams and does not block the host, so a failure may be detected after
/// it has returned. The next call here, or the device when the host waits for results, then throws
/// it. NCCL determines the order of sums; the bits are the same on every rank.
/// Must outlive everything that it returns. Graphs that captured its collectives keep the NCCL
/// communicators and the stream alive.
class Nccl final : public Communicator {
 public:
  /// Collective. Joins the ranks of `hosts` (an MPI communicator).
  /// Throws: Timeout if they do not join in time; core::Error if NCCL fails.
  Nccl(std::unique_ptr<Communicator> hosts, std::shared_ptr<NcclStream> stream);
  /// Collective, except during stack unwinding: other ranks will then not call it, so all groups
  /// are aborted.
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
  /// Waits for the hosts alone, not for work queued on the GPU.
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;

 private:
  PendingPtr start(Collective what, std::vector<core::Tensor> tensors, Transfers const& transfers);

  std::unique_ptr<Communicator> hosts_;
  std::shared_ptr<NcclStream> stream_;
  std::shared_ptr<NcclGroup> group_;
  int exceptions_;  // std::uncaught_exceptions() at construction
};

}  // namespace comm
