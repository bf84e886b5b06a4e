#pragma once

/// Options of the class-sharded head, named as in the configuration.
namespace layers {

/// Data types of a head's weights and optimizer state, in bytes per element.
enum class Storage {
  f32,           ///< 4 + 4
  bf16_moments,  ///< 4 + 2
  bf16,          ///< 2 + 2: no f32 master weights; each step rounds stochastically
};

/// Whether the second pass over the classes reads stored logits or recomputes them.
enum class Logits {
  automatic,  ///< ShardedHead::describe reports the choice and its reason
  store,      ///< three matrix products per step; B × C_r exponentials in the products' dtype
  recompute,  ///< four matrix products per step; B × chunk elements
};

/// Number of passes over the classes before dX is complete.
enum class Passes {
  two,  ///< the second pass sums dX and updates the weights
  one,  ///< the first pass sums dX; the second updates the weights while dX is summed over ranks
};

/// Exchange of the row statistics between the two passes.
enum class StatisticsMerge {
  automatic,  ///< by rows if that sends considerably less: merges_by_rows
  gathered,   ///< one collective; every rank merges all rows. P × B statistics sent by a rank
  by_rows,    ///< three collectives; every rank merges B / P rows. O(B) values sent by a rank
};

/// Treatment of rows that were not sampled in a step (Partial FC).
enum class UnsampledRows {
  lazy,   ///< not updated: weights and moments keep their values
  dense,  ///< updated with gradient 0: momentum and weight decay still apply
};

}  // namespace layers
