#include "comm/metered.h"
#include <algorithm>
#include <utility>

namespace comm {
namespace {

auto is(std::string_view label, Collective what) {
  return [=](Traffic::Row const& row) { return row.label == label && row.what == what; };
}

}  // namespace

void Traffic::add(std::string const& label, Collective what, Moved const& moved) {
  if (paused_) return;
  auto row = std::ranges::find_if(rows_, is(label, what));
  if (row == rows_.end()) row = rows_.insert(row, {label, what});
  ++row->calls;
  row->moved += moved;
}

Traffic::Row const* Traffic::find(std::string_view label, Collective what) const {
  auto const found = std::ranges::find_if(rows_, is(label, what));
  return found == rows_.end() ? nullptr : &*found;
}

/// A collective that is counted once, when it has been waited for.
class Metered::Counted final : public Pending {
 public:
  Counted(PendingPtr pending, Metered& ranks, Collective what)
      : pending_(std::move(pending)), ranks_(ranks), what_(what) {}

  ~Counted() override {
    try {
      wait();
    } catch (core::Error const&) {  // the result is unused, and a destructor must not throw
    }
  }

  void wait() override {
    pending_->wait();
    if (!std::exchange(counted_, true)) ranks_.traffic_.add(ranks_.label_, what_, moved());
  }

  Moved moved() const override { return pending_->moved(); }

 private:
  PendingPtr pending_;
  Metered& ranks_;
  Collective what_;
  bool counted_ = false;
};

Metered::Metered(Communicator& ranks, Traffic& traffic, std::string label)
    : ranks_(ranks), traffic_(traffic), label_(std::move(label)) {}

Metered::Metered(std::unique_ptr<Communicator> ranks, Traffic& traffic, std::string label)
    : owned_(std::move(ranks)), ranks_(*owned_), traffic_(traffic), label_(std::move(label)) {}

PendingPtr Metered::counted(Collective what, PendingPtr pending) {
  return std::make_unique<Counted>(std::move(pending), *this, what);
}

PendingPtr Metered::all_reduce(core::Tensor& t, Reduce how) {
  return counted(Collective::all_reduce, ranks_.all_reduce(t, how));
}

PendingPtr Metered::all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) {
  return counted(Collective::all_gather, ranks_.all_gather(mine, counts, all));
}

PendingPtr Metered::reduce_scatter(core::Tensor const& all, Counts const& counts,
                                   core::Tensor& mine) {
  return counted(Collective::reduce_scatter, ranks_.reduce_scatter(all, counts, mine));
}

PendingPtr Metered::all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                               Counts const& receive) {
  return counted(Collective::all_to_all, ranks_.all_to_all(out, send, in, receive));
}

PendingPtr Metered::broadcast(core::Tensor& t, int root) {
  return counted(Collective::broadcast, ranks_.broadcast(t, root));
}

std::unique_ptr<Communicator> Metered::split(int color) {
  return std::unique_ptr<Metered>(new Metered(ranks_.split(color), traffic_, label_));
}

Communicator& Metered::named(std::string_view label) {
  auto found = named_.find(label);
  if (found == named_.end()) {
    std::string const text(label);
    found = named_.emplace(text, std::make_unique<Metered>(ranks_, traffic_, text)).first;
  }
  return *found->second;
}

}  // namespace comm
