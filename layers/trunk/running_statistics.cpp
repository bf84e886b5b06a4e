#include "layers/trunk/running_statistics.h"
#include "core/device.h"

namespace layers {

RunningStatistics::RunningStatistics(comm::Communicator& ranks,
                                     std::vector<core::Parameter*> const& parameters)
    : ranks_(ranks) {
  int64_t count = 0;
  for (auto* p : parameters) {
    if (p->role != core::Role::statistics) continue;
    parameters_.push_back(p);
    count += p->value.count();
  }
  if (parameters_.empty() || ranks.size() == 1) return;
  auto const& first = parameters_.front()->value;
  packed_ = core::Tensor(first.device(), {count}, first.dtype());
  int64_t begin = 0;
  for (auto const* p : parameters_) {
    places_.push_back(packed_.rows(begin, begin + p->value.count()));
    begin += p->value.count();
  }
}

void RunningStatistics::average() {
  if (!packed_) return;
  auto& device = packed_.device();
  for (size_t i = 0; i < places_.size(); ++i) device.copy(parameters_[i]->value, places_[i]);
  ranks_.all_reduce(packed_, comm::Reduce::sum)->wait();
  device.kernels().scale(1.0 / ranks_.size(), packed_);
  for (size_t i = 0; i < places_.size(); ++i) device.copy(places_[i], parameters_[i]->value);
}

}  // namespace layers
