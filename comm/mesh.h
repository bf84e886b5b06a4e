#pragma once
#include "comm/communicator.h"

namespace comm {

/// The ranks of a run as a rectangle, shards × replicas: a row of it holds every class once, a
/// column the same classes.
///
/// Rank r is shard r % shards of row r / shards. Rows are made of neighbours, because the features
/// of a batch are gathered in a row: it stays inside a host where `shards` divides the ranks that a
/// host has. With one row, or one column, no communicator is made.
class Mesh {
 public:
  /// `shards`: ranks of a row; 0: all of `world`, which outlives this. Collective. Throws
  /// core::Error, on every rank, unless `shards` divides the number of ranks.
  Mesh(Communicator& world, int shards);

  /// All ranks.
  Communicator& world() { return world_; }
  /// The ranks that hold all classes together with this one; rank() there is the shard.
  Communicator& shards() { return shards_ ? *shards_ : world_; }
  /// The ranks that hold the same classes as this one; rank() there is the replica.
  Communicator& replicas() { return replicas_ ? *replicas_ : world_; }

 private:
  Communicator& world_;
  std::unique_ptr<Communicator> shards_, replicas_;  // null where it is the world
};

}  // namespace comm
