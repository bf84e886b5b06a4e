#include "comm/dry.h"
#include <utility>
#include "comm/arguments.h"

namespace comm {
namespace {

/// A transfer that the device has recorded. The wait is recorded once.
class Recorded final : public Pending {
 public:
  Recorded(core::dry::DryRunDevice& device, core::dry::Transfer transfer)
      : device_(device),
        sent_(static_cast<int64_t>(transfer.sent)),
        index_(device.start_transfer(std::move(transfer))) {}
  ~Recorded() override { wait(); }
  Recorded(Recorded const&) = delete;
  Recorded& operator=(Recorded const&) = delete;

  void wait() override {
    if (!std::exchange(waited_, true)) device_.wait_for_transfer(index_);
  }
  Moved moved() const override { return {sent_, sent_}; }

 private:
  core::dry::DryRunDevice& device_;
  int64_t sent_;
  size_t index_;
  bool waited_ = false;
};

int64_t bytes_of(core::Tensor const& t) { return static_cast<int64_t>(t.bytes()); }

/// Bytes of the rows of the other ranks; rank 0 keeps its own.
int64_t bytes_of_others(core::Tensor const& t, Counts const& counts) {
  return t.size(0) == 0 ? 0 : bytes_of(t) / t.size(0) * (t.size(0) - counts[0]);
}

}  // namespace

DryRunCommunicator::DryRunCommunicator(core::dry::DryRunDevice& device, int size,
                                       std::vector<int> groups, std::string label)
    : device_(device), size_(size), groups_(std::move(groups)), label_(std::move(label)) {}

PendingPtr DryRunCommunicator::filled(core::Tensor const& t, int64_t sent) {
  if (!label_.empty() && t.count() > 0) device_.assign(t, label_);
  return std::make_unique<Recorded>(device_,
                                    core::dry::Transfer{label_, static_cast<double>(sent)});
}

PendingPtr DryRunCommunicator::all_reduce(core::Tensor& t, Reduce) {
  check_all_reduce(*this, t);
  return filled(t, 2 * bytes_of(t) * (size_ - 1) / size_);
}

PendingPtr DryRunCommunicator::all_gather(core::Tensor const& mine, Counts const& counts,
                                          core::Tensor& all) {
  check_all_gather(*this, mine, counts, all);
  return filled(all, bytes_of(mine) * (size_ - 1));
}

PendingPtr DryRunCommunicator::reduce_scatter(core::Tensor const& all, Counts const& counts,
                                              core::Tensor& mine) {
  check_reduce_scatter(*this, all, counts, mine);
  return filled(mine, bytes_of_others(all, counts));
}

PendingPtr DryRunCommunicator::all_to_all(core::Tensor const& out, Counts const& send,
                                          core::Tensor& in, Counts const& receive) {
  check_all_to_all(*this, out, send, in, receive);
  return filled(in, bytes_of_others(out, send));
}

PendingPtr DryRunCommunicator::broadcast(core::Tensor& t, int root) {
  check_broadcast(*this, t, root);
  return filled(t, root == 0 ? bytes_of(t) * (size_ - 1) : 0);
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
