#include <algorithm>
#include <unordered_set>
#include "core/device.h"
#include "core/random.h"
#include "train/report/picture.h"

namespace train {
namespace {

constexpr int64_t places = 5;            // best classes of a prediction
constexpr int64_t numbers = places + 2;  // columns of the all-reduce: 1 if seen, label, classes + 1

}  // namespace

SampleDraw::SampleDraw(Split const& split, int64_t count, uint64_t seed) : split_(split) {
  int64_t const size = split.data->size();
  core::Random random({seed, core::Purpose::shown_samples, 0});
  std::unordered_set<int64_t> drawn;
  while (std::ssize(samples_) < std::min(count, size)) {
    auto const sample = static_cast<int64_t>(random.below(static_cast<uint64_t>(size)));
    if (drawn.insert(sample).second) samples_.push_back(sample);
  }
}

void SampleDraw::see(Prediction const& prediction) {
  if (std::ranges::find(samples_, prediction.sample) != samples_.end()) seen_.push_back(prediction);
}

std::vector<Shown> SampleDraw::gather(core::Device& device, comm::Communicator& ranks) const {
  // Each sample is seen by exactly one rank, so the sum over ranks is its row.
  std::vector<int64_t> rows(samples_.size() * numbers, 0);
  for (Prediction const& p : seen_) {
    auto row = rows.begin() + (std::ranges::find(samples_, p.sample) - samples_.begin()) * numbers;
    *row++ = 1;
    *row++ = p.label;
    std::ranges::transform(p.best, row, [](int64_t c) { return c + 1; });
  }
  core::Tensor sum(device, {std::ssize(samples_), numbers}, core::Dtype::i64);
  device.upload(rows.data(), sum);
  ranks.all_reduce(sum, comm::Reduce::sum)->wait();
  device.download(sum, rows.data());

  std::vector<Shown> shown;
  for (size_t i = 0; i < samples_.size(); ++i) {
    int64_t const* const row = rows.data() + i * numbers;
    if (row[0] == 0) continue;
    Prediction prediction{samples_[i], row[1], {}};
    for (int64_t place = 2; place < numbers && row[place] > 0; ++place)
      prediction.best.push_back(row[place] - 1);
    shown.push_back({&split_, prediction});
  }
  return shown;
}

}  // namespace train
