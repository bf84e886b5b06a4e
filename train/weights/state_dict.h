#pragma once
#include "layers/trunk/trunk.h"
#include "train/config/experiment.h"
#include "train/formats/safetensors.h"

/// A model as PyTorch's state_dict has it, in a safetensors file: names, shapes and the order of
/// numbers. Images are channels first there, so a convolution is (out, in, h, w), and a linear
/// layer over flattened images has its inputs in the order (Ch, h, w); here channels are last.
/// docs/trunks.md has the names.
namespace train {

/// How a file declares a trunk's parameter: counts i64, all else f32.
TensorDeclaration in_file(core::Parameter const& parameter);

/// Channels of the images that each row of a parameter multiplies; 0 where it multiplies none, and
/// the file's order is the one here.
int64_t channels_of(core::Parameter const& parameter);

/// Every row of a weight from (h * w, Ch) to (Ch, h * w), as files have it, and back. With 0
/// channels the values are returned as they are.
std::vector<float> channels_first(std::vector<float> values, int64_t rows, int64_t channels);
std::vector<float> channels_last(std::vector<float> values, int64_t rows, int64_t channels);

/// What the classifier's "weight" (C, D) and "bias" (C) are called after: "fc." as in torchvision;
/// nothing, as in insightface's files, where the trunk has a layer of that name.
std::string classifier_prefix(layers::Trunk& trunk);

/// The part of the classifier's weight (C, D) that a rank holds.
struct Part {
  int64_t row = 0, rows = 0;  ///< classes
  int64_t column = 0, columns = 0;
};
Part part_of(HeadKind kind, int64_t classes, int64_t features, int rank, int ranks);

}  // namespace train
