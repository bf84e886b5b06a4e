#include "layers/head/head_sizes.h"
#include <algorithm>
#include <limits>

namespace layers {

int64_t HeadSizes::chunk(int64_t batch) const {
  return on_host ? cached_chunk(batch) : large_chunk(batch);
}

/// Products of this size fill a GPU and hide the launch of a kernel. All chunks but the last are
/// equal.
int64_t HeadSizes::large_chunk(int64_t batch) const {
  constexpr int64_t large = 32768, small = 16384;
  // f32 logits and their probabilities, the rounded weights and their f32 gradient.
  int64_t const bytes_a_class = batch * 6 + features * 6;
  bool const scarce = capacity > 0 && large * bytes_a_class > capacity / 64;
  int64_t const widest = scarce ? small : large;
  int64_t const chunks = (classes + widest - 1) / widest, even = (classes + chunks - 1) / chunks;
  return (even + 63) / 64 * 64;
}

int64_t HeadSizes::cached_chunk(int64_t batch) const {
  // The cache holds f32 logits and their probabilities, and the rounded weights and their f32
  // gradient.
  int64_t const bytes_a_class = batch * 6 + features * 6;
  return std::clamp<int64_t>(cache / bytes_a_class / 64 * 64, 256, cache >> 10);
}

/// Most bytes of exponentials where they must be small beside the state.
int64_t HeadSizes::share() const {
  if (!on_host && memory > 0) return std::numeric_limits<int64_t>::max();
  return std::max(int64_t{100} << 20, classes * state / 4);
}

int64_t HeadSizes::room() const {
  return memory > 0 ? (memory - classes * state) / 2 : std::numeric_limits<int64_t>::max();
}

bool HeadSizes::stores(int64_t batch) const {
  return exponentials(batch) <= std::min(share(), room());
}

bool HeadSizes::has_room_for_copy(int64_t bytes) const {
  return !on_host && memory > 0 && classes * (state + bytes) <= memory / 2;
}

std::string HeadSizes::reason(int64_t batch, bool asked) const {
  auto const mb = [](int64_t bytes) { return core::join(bytes / 1'000'000, " MB"); };
  auto const why = asked         ? std::string("as configured")
                   : room() <= 0 ? std::string("weights and optimizer state alone fill the memory")
                   : room() <= share() ? "half of the remaining memory is " + mb(room())
                                       : "at most " + mb(share()) + " are used for this";
  return core::join("storing them takes ", mb(exponentials(batch)), "; ", why);
}

}  // namespace layers
