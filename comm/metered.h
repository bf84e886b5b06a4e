#pragma once
#include <map>
#include "comm/collective.h"
#include "comm/communicator.h"

namespace comm {

/// What collectives have moved, by their kind and the name they were asked for under.
class Traffic {
 public:
  struct Row {
    std::string label;  ///< "" where it was asked for under none
    Collective what;
    int64_t calls = 0;
    Moved moved;  ///< of this rank
  };

  void add(std::string const& label, Collective what, Moved const& moved);
  /// While paused, `add` does nothing.
  void pause() { paused_ = true; }
  void go_on() { paused_ = false; }
  void clear() { rows_.clear(); }

  /// In the order in which the first of each ended: the same on every rank.
  std::vector<Row> const& rows() const { return rows_; }
  /// Null where there were none.
  Row const* find(std::string_view label, Collective what) const;

 private:
  std::vector<Row> rows_;
  bool paused_ = false;
};

/// Ranks whose collectives are counted when they have ended, with what they moved. Those that fail
/// are not, nor is the barrier, which moves nothing. So are the groups that it is split into.
///
/// Lives longer than what it returned, and less long than what it was given.
class Metered final : public Communicator {
 public:
  Metered(Communicator& ranks, Traffic& traffic, std::string label = "");

  using Communicator::all_gather;

  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  PendingPtr all_reduce(core::Tensor& t, Reduce how) override;
  PendingPtr all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) override;
  PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                            core::Tensor& mine) override;
  PendingPtr all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                        Counts const& receive) override;
  PendingPtr broadcast(core::Tensor& t, int root) override;
  void barrier() override { ranks_.barrier(); }
  std::unique_ptr<Communicator> split(int color) override;
  Communicator& named(std::string_view label) override;

 private:
  class Counted;
  Metered(std::unique_ptr<Communicator> ranks, Traffic& traffic, std::string label);
  PendingPtr counted(Collective what, PendingPtr pending);

  std::unique_ptr<Communicator> owned_;  // of a split; null where the ranks are another's
  Communicator& ranks_;
  Traffic& traffic_;
  std::string label_;
  std::map<std::string, std::unique_ptr<Metered>, std::less<>> named_;
};

}  // namespace comm
