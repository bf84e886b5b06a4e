#pragma once
#include "comm/communicator.h"

namespace comm {

/// The ranks of a run as a 2D mesh, shards × replicas. The ranks of a row together hold every class
/// once; the ranks of a column hold the same classes.
///
/// Rank r is shard r % shards of row r / shards. A row consists of consecutive ranks, because the
/// features of a batch are gathered in it: it stays inside a host if `shards` divides the number of
/// ranks per host. A mesh of one row or one column creates no communicator.
class Mesh {
 public:
  /// Collective. `shards`: ranks per row; 0: all of `world`. `world` must outlive this object.
  /// Throws: core::Error on every rank unless `shards` divides the number of ranks.
  Mesh(Communicator& world, int shards);

  /// All ranks.
  Communicator& world() { return world_; }
  /// This row: the ranks that together hold all classes. `rank()` is the shard.
  Communicator& shards() { return shards_ ? *shards_ : world_; }
  /// This column: the ranks that hold the same classes. `rank()` is the replica.
  Communicator& replicas() { return replicas_ ? *replicas_ : world_; }

 private:
  Communicator& world_;
  std::unique_ptr<Communicator> shards_, replicas_;  // null: `world_`
};

}  // namespace comm
