#pragma once

/// Choices of the class-sharded head, in the words of the configuration.
namespace layers {

/// Number formats of a head's weights and optimizer state, in bytes a number.
enum class Storage {
  f32,           ///< 4 and 4
  bf16_moments,  ///< 4 and 2
  bf16,          ///< 2 and 2: no master weights; each step rounds stochastically
};

/// Whether the second pass over the classes reads the logits of the first or computes them again.
enum class Logits {
  automatic,  ///< ShardedHead::describe reports the choice and its reason
  store,      ///< three products a step; B × C_r exponentials in the products' dtype
  recompute,  ///< four products; B × chunk numbers
};

/// The number of passes over the classes before dX is complete.
enum class Passes {
  two,  ///< the second pass sums dX and updates the weights
  one,  ///< the first sums dX: trunk and communication go on, and `finish` updates the weights
};

/// What a step does to the rows that it has not sampled (Partial FC).
enum class UnsampledRows {
  lazy,   ///< nothing: rows and moments keep their values
  dense,  ///< their gradient is 0: momentum and weight decay still apply
};

}  // namespace layers
