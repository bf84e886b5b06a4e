#include "layers/head/class_sampler.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include "core/cpu/device.h"
#include "core/kernels.h"

namespace layers {
namespace {

/// The distinct labels in [begin, begin + count), as offsets from `begin`, ascending.
std::vector<int64_t> positives_of(std::vector<int64_t> const& labels, int64_t begin,
                                  int64_t count) {
  std::vector<int64_t> mine;
  for (int64_t const label : labels)
    if (begin <= label && label < begin + count) mine.push_back(label - begin);
  std::sort(mine.begin(), mine.end());
  mine.erase(std::unique(mine.begin(), mine.end()), mine.end());
  return mine;
}

/// The index of `value` in a sorted vector, or -1.
int64_t place_of(int64_t value, std::vector<int64_t> const& ascending) {
  auto const found = std::lower_bound(ascending.begin(), ascending.end(), value);
  return found != ascending.end() && *found == value ? found - ascending.begin() : -1;
}

template <class T>
core::Tensor on_device(core::Device& device, core::Dtype dtype, std::vector<T> const& values) {
  core::Tensor t(device, {static_cast<int64_t>(values.size())}, dtype);
  device.upload(values.data(), t);
  return t;
}

/// -log(sampling probability) of `classes`, ascending. Positive classes have probability 1.
core::Tensor log_q(core::Device& device, core::Dtype wide, double rate,
                   std::vector<int64_t> const& classes, std::vector<int64_t> const& positives) {
  return core::visit_floating(wide, [&]<class Acc>() {
    std::vector<Acc> shift(classes.size(), static_cast<Acc>(-std::log(rate)));
    for (int64_t const positive : positives)
      if (auto const at = place_of(positive, classes); at >= 0)
        shift[static_cast<size_t>(at)] = Acc(0.0f);
    return on_device(device, wide, shift);
  });
}

}  // namespace

std::vector<int64_t> drawn_classes(ClassSampler const& draw, int64_t begin, int64_t count,
                                   std::vector<int64_t> const& labels) {
  constexpr int64_t at_once = 1 << 16;
  core::RandomKey const key{draw.seed, core::Purpose::classes, static_cast<uint64_t>(draw.step)};
  auto const positives = positives_of(labels, begin, count);
  auto positive = positives.begin();
  core::cpu::Cpu host(1);
  core::Tensor numbers(host, {std::min(count, at_once)}, core::Dtype::f32);
  std::vector<int64_t> sampled;
  for (int64_t first = 0; first < count; first += at_once) {
    int64_t const size = std::min(at_once, count - first);
    auto part = numbers.rows(0, size);
    host.kernels().random_uniform(key, begin + first, 0, 1, part);
    float const* const uniform = part.data<float>();
    for (int64_t i = 0; i < size; ++i) {
      bool const has_sample = positive != positives.end() && *positive == first + i;
      if (has_sample) ++positive;
      if (has_sample || uniform[i] < draw.rate) sampled.push_back(first + i);
    }
  }
  return sampled;
}

core::Tensor draw_classes(ClassSampler const& draw, ClassShard const& rows,
                          core::Tensor const& labels, core::Dtype wide,
                          std::vector<ClassSet>& sets) {
  constexpr int64_t elsewhere = std::numeric_limits<int64_t>::max() / 2;
  auto& device = rows.device();
  std::vector<int64_t> host(static_cast<size_t>(labels.count()));
  device.download(labels, host.data());
  auto const sampled = drawn_classes(draw, rows.begin(), rows.count(), host);
  auto const positives = positives_of(host, rows.begin(), rows.count());
  auto at = sampled.begin();
  for (ClassSet& set : sets) {
    auto const last = std::lower_bound(at, sampled.end(), set.end);
    std::vector<int64_t> indices(at, last);
    if (draw.log_q) set.shift = log_q(device, wide, draw.rate, indices, positives);
    for (int64_t& place : indices) place -= set.begin;
    set.sampled = on_device(device, core::Dtype::i64, indices);
    set.first = at - sampled.begin();
    set.count = last - at;
    at = last;
  }
  for (int64_t& label : host) {
    if (label < 0) continue;
    int64_t const place = place_of(label - rows.begin(), sampled);
    label = place < 0 ? elsewhere : place;
  }
  return on_device(device, core::Dtype::i64, host);
}

}  // namespace layers
