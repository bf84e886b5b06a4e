#pragma once
#include <map>
#include <string>
#include "comm/communicator.h"
#include "core/dry/device.h"

namespace comm {

/// Rank 0 of a simulated group, for dry runs: arguments are checked as usual, and no data moves.
/// The tensor that a collective fills is assigned to the part of the device's memory record that
/// has the communicator's label. The device records the bytes that rank 0 sends in a direct
/// exchange, and when they are waited for.
class DryRunCommunicator final : public Communicator {
 public:
  using Communicator::all_gather;

  /// `groups`: sizes of the groups that successive calls of `split` return. `split` throws
  /// core::Error after the last one.
  DryRunCommunicator(core::dry::DryRunDevice& device, int size, std::vector<int> groups = {},
                     std::string label = "");

  int rank() const override { return 0; }
  int size() const override { return size_; }
  PendingPtr all_reduce(core::Tensor& t, Reduce how) override;
  PendingPtr all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) override;
  PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                            core::Tensor& mine) override;
  PendingPtr all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                        Counts const& receive) override;
  PendingPtr broadcast(core::Tensor& t, int root) override;
  void barrier() override {}
  std::unique_ptr<Communicator> split(int color) override;
  Communicator& named(std::string_view label) override;

 private:
  PendingPtr filled(core::Tensor const& t, int64_t sent);

  core::dry::DryRunDevice& device_;
  int size_;
  std::vector<int> groups_;
  size_t splits_ = 0;
  std::string label_;
  std::map<std::string, std::unique_ptr<DryRunCommunicator>, std::less<>> named_;
};

}  // namespace comm
