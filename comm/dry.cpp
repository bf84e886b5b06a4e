#include "comm/dry.h"
#include "comm/arguments.h"

namespace comm {
namespace {

struct Nothing final : Pending {
  void wait() override {}
  Moved moved() const override { return {}; }
};

}  // namespace

DryRunCommunicator::DryRunCommunicator(core::dry::DryRunDevice& device, int size,
                                       std::vector<int> groups, std::string label)
    : device_(device), size_(size), groups_(std::move(groups)), label_(std::move(label)) {}

PendingPtr DryRunCommunicator::filled(core::Tensor const& t) {
  if (!label_.empty() && t.count() > 0) device_.assign(t, label_);
  return std::make_unique<Nothing>();
}

PendingPtr DryRunCommunicator::all_reduce(core::Tensor& t, Reduce) {
  check_all_reduce(*this, t);
  return filled(t);
}

PendingPtr DryRunCommunicator::all_gather(core::Tensor const& mine, Counts const& counts,
                                          core::Tensor& all) {
  check_all_gather(*this, mine, counts, all);
  return filled(all);
}

PendingPtr DryRunCommunicator::reduce_scatter(core::Tensor const& all, Counts const& counts,
                                              core::Tensor& mine) {
  check_reduce_scatter(*this, all, counts, mine);
  return filled(mine);
}

PendingPtr DryRunCommunicator::all_to_all(core::Tensor const& out, Counts const& send,
                                          core::Tensor& in, Counts const& receive) {
  check_all_to_all(*this, out, send, in, receive);
  return filled(in);
}

PendingPtr DryRunCommunicator::broadcast(core::Tensor& t, int root) {
  check_broadcast(*this, t, root);
  return filled(t);
}

std::unique_ptr<Communicator> DryRunCommunicator::split(int) {
  core::check(splits_ < groups_.size(), "dry run: sizes were given for ", groups_.size(),
              " groups, but split was called more often");
  return std::make_unique<DryRunCommunicator>(device_, groups_[splits_++]);
}

Communicator& DryRunCommunicator::named(std::string_view label) {
  auto found = named_.find(label);
  if (found == named_.end()) {
    std::string const name(label);
    found =
        named_.emplace(name, std::make_unique<DryRunCommunicator>(device_, size_, groups_, name))
            .first;
  }
  return *found->second;
}

}  // namespace comm
