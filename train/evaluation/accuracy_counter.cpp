#include "train/evaluation/accuracy_counter.h"
#include <algorithm>
#include <array>
#include "core/device.h"

namespace train {

void AccuracyCounter::add(std::vector<int64_t> const& best, int64_t label) {
  ++samples;
  top1 += !best.empty() && best.front() == label;
  top5 += std::ranges::find(best, label) != best.end();
}

Score AccuracyCounter::score(std::string split, core::Device& device,
                             comm::Communicator& ranks) const {
  std::array counts{samples, top1, top5};
  core::Tensor sum(device, {std::ssize(counts)}, core::Dtype::i64);
  device.upload(counts.data(), sum);
  ranks.all_reduce(sum, comm::Reduce::sum)->wait();
  device.download(sum, counts.data());
  auto const all = static_cast<double>(std::max<int64_t>(counts[0], 1));
  return {std::move(split), counts[0], static_cast<double>(counts[1]) / all,
          static_cast<double>(counts[2]) / all};
}

}  // namespace train
