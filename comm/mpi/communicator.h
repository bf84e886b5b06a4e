#pragma once
#include <mpi.h>
#include "comm/blocks.h"
#include "comm/mpi/operation.h"
#include "comm/mpi/session.h"

namespace comm {

/// A communicator over MPI, for tensors in host memory.
///
/// Collectives are built from point-to-point messages: sums are added in rank order, lengths are
/// 64-bit, and a rank that calls a different collective is named in the error.
/// Must outlive everything that it returns.
class Mpi final : public Communicator {
 public:
  /// Maximum message length, and the scratch memory of a reduction, in bytes.
  static constexpr size_t default_message_bytes = size_t{1} << 22;

  /// Collective. Joins all ranks of the run.
  /// Throws: core::Error unless `message_bytes` is from 8 to 2^30.
  explicit Mpi(Session& session, size_t message_bytes = default_message_bytes);
  ~Mpi() override;
  Mpi(Mpi const&) = delete;
  Mpi& operator=(Mpi const&) = delete;

  using Communicator::all_gather;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  PendingPtr all_reduce(core::Tensor& t, Reduce how) override;
  PendingPtr all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) override;
  PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                            core::Tensor& mine) override;
  PendingPtr all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                        Counts const& receive) override;
  PendingPtr broadcast(core::Tensor& t, int root) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;

 private:
  struct Reduction;
  Mpi(Session& session, MPI_Comm comm, size_t message_bytes);
  std::unique_ptr<Operation> begin(Collective what, std::vector<core::Tensor> tensors);
  PendingPtr start(std::unique_ptr<Operation> operation);
  void add_reduction(Operation& operation, Reduction whole);
  void exchange_slice(Operation& stage, Reduction const& whole, int64_t number);
  void reduce_slice(Operation& stage, Reduction const& whole, int64_t number);
  std::vector<Block> received(Reduction const& whole, int64_t number);

  Session& session_;
  MPI_Comm comm_;
  size_t message_bytes_;
  int rank_ = 0, size_ = 0;
};

}  // namespace comm
