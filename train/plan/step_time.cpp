#include "train/plan/step_time.h"
#include <algorithm>
#include "train/plan/gpu_model.h"

namespace train {
namespace {

double seconds(double amount, double rate) { return rate > 0 ? amount / rate : 0; }

double kernel_time(core::dry::Work const& work, Rates const& rates, bool gpu) {
  if (gpu) return gpu_kernel_time(work, rates.flops, rates.memory);
  return std::max(seconds(work.flops, rates.flops), seconds(work.bytes, rates.memory));
}

double time_of(core::dry::WorkCounts const& counts, Rates const& rates, bool gpu) {
  double sum = 0;
  for (auto const& [work, times] : counts)
    sum += static_cast<double>(times) * kernel_time(work, rates, gpu);
  return sum;
}

StepTime::Network& under(std::string const& label, StepTime& time) {
  auto const found = std::ranges::find(time.network, label, &StepTime::Network::label);
  if (found != time.network.end()) return *found;
  return time.network.emplace_back(StepTime::Network{label, 0, 0});
}

}  // namespace

StepTime predicted_time(StepPlan const& plan, Rates const& rates) {
  StepTime time;
  std::vector<double> ends(plan.transfers.size());
  double network_free = 0;
  for (auto const& stretch : plan.stretches) {
    double const kernels = time_of(stretch.work, rates, plan.gpu);
    time.phases[stretch.phase] += kernels;
    time.compute += kernels;
    time.step += kernels;
    if (stretch.starts) {
      auto const& transfer = plan.transfers[*stretch.starts];
      double const takes = seconds(transfer.sent, rates.network);
      under(transfer.label, time).seconds += takes;
      ends[*stretch.starts] = network_free = std::max(network_free, time.step) + takes;
    }
    if (stretch.waits) {
      double const end = std::max(time.step, ends[*stretch.waits]);
      under(plan.transfers[*stretch.waits].label, time).waited += end - time.step;
      time.step = end;
    }
  }
  return time;
}

}  // namespace train
