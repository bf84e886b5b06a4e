#pragma once
#include <map>
#include "comm/collective.h"
#include "comm/communicator.h"

namespace comm {

/// Bytes moved by collectives, by label and kind.
class Traffic {
 public:
  struct Row {
    std::string label;  ///< `Communicator::named`; "" without a label
    Collective what;
    int64_t calls = 0;
    Moved moved;  ///< bytes that this rank moved
  };

  void add(std::string const& label, Collective what, Moved const& moved);
  /// While paused, `add` does nothing.
  void pause() { paused_ = true; }
  void go_on() { paused_ = false; }
  void clear() { rows_.clear(); }

  /// In order of first completion, which is the same on every rank.
  std::vector<Row> const& rows() const { return rows_; }
  /// Null if there was no such collective.
  Row const* find(std::string_view label, Collective what) const;

 private:
  std::vector<Row> rows_;
  bool paused_ = false;
};

/// A communicator that records the bytes moved by each collective when it has ended. Failed
/// collectives and the barrier, which moves nothing, are not counted. Groups made by `split` are
/// counted too.
///
/// Must outlive everything that it returns. `ranks` and `traffic` must outlive it.
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

  std::unique_ptr<Communicator>
      owned_;  // a group made by `split`; null if another object owns the ranks
  Communicator& ranks_;
  Traffic& traffic_;
  std::string label_;
  std::map<std::string, std::unique_ptr<Metered>, std::less<>> named_;
};

}  // namespace comm
