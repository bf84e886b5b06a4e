#pragma once
#include "train/evaluation/evaluate.h"

namespace train {

struct PredictOptions {
  std::string classes_to;     ///< safetensors file of classes and scores
  std::string embeddings_to;  ///< and of features; empty: none
  int places = 5;             ///< classes of a sample, at most
};

/// Writes what a model makes of every sample of a split, in the split's order, the same (but for
/// rounding) from any number of ranks. `classes_to`, with k the smaller of `places` and the number
/// of classes C:
///
///     classes (N, k) i64    best first, exact over all C
///     scores  (N, k) f32    their logits: scale times cosine where products are cosines, without
///                           a margin
///     labels  (N)    i64    -1: the sample's label is data.ignore_index
///
/// `embeddings_to`: embeddings (N, D) f32, the trunk's features, of length 1 where the head's
/// products are cosines, and labels. Rank 0 writes, and none holds more than a batch. A file has
/// its name once it is complete. Collective. Throws IoError.
void predict(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
             comm::Communicator& ranks, PredictOptions const& options);

}  // namespace train
