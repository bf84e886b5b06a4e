#pragma once
#include "train/evaluation/evaluate.h"

namespace train {

struct PredictOptions {
  std::string classes_to;     ///< safetensors file for classes, scores and labels
  std::string embeddings_to;  ///< safetensors file for features and labels; empty: none
  int places = 5;             ///< maximum number of classes per sample
};

/// Writes the predictions of a model for every sample of a split, in the split's order; up to
/// rounding, they are the same for any number of ranks. Contents of `classes_to`, with k the
/// smaller of `places` and the number of classes C:
///
///     classes (N, k) i64    best first, exact over all C classes
///     scores  (N, k) f32    logits of these classes; with a cosine head, scale times cosine,
///                           without margin
///     labels  (N)    i64    -1: the sample's label is data.ignore_index
///
/// `embeddings_to` contains labels as above, and embeddings (N, D) f32: the features from the
/// trunk, normalized to length 1 with a cosine head. Rank 0 writes; no rank holds more than a
/// batch. A file gets its name when it is complete. Collective.
/// Throws: IoError if a file cannot be written.
void predict(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
             comm::Communicator& ranks, PredictOptions const& options);

}  // namespace train
