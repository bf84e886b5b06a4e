#pragma once
#include <string>
#include "core/device.h"
#include "layers/head/options.h"

namespace layers {

/// What a head decides by its sizes: the classes of a chunk, and which of its data are stored. The
/// same on every rank, because the sizes are those of the largest shard.
struct HeadSizes {
  int64_t classes, features;  ///< classes of the largest shard
  int64_t state;              ///< bytes of weights, their copy, and optimizer state per class
  int64_t logit_bytes;        ///< bytes of a stored exponential
  int64_t memory = 0;         ///< bytes of memory for the head, 0: unknown
  bool on_host = true;        ///< Device::on_host
  int64_t cache = 0;          ///< Device::cache_bytes
  int64_t capacity = 0;       ///< Device::capacity

  /// Classes of a chunk for a batch of this size.
  int64_t chunk(int64_t batch) const;
  /// Whether the exponentials of a batch should be stored: if they need at most half of the memory
  /// that the state leaves. On the CPU, or if the memory is unknown, they must also be small beside
  /// the state.
  bool stores(int64_t batch) const;
  /// Human-readable sizes on which `stores` depends, and the deciding limit, unless `asked`.
  std::string reason(int64_t batch, bool asked) const;
  /// Whether to keep a copy of the weights of `bytes` per class as well: on a GPU, if the state and
  /// the copy need at most half of the memory.
  bool has_room_for_copy(int64_t bytes) const;

 private:
  int64_t cached_chunk(int64_t batch) const;
  int64_t large_chunk(int64_t batch) const;
  int64_t exponentials(int64_t batch) const { return batch * classes * logit_bytes; }
  int64_t share() const;
  int64_t room() const;
};

}  // namespace layers
