#pragma once
#include "layers/trunk/trunk.h"
#include "train/config/experiment.h"
#include "train/formats/safetensors.h"

/// Conversion between a model's parameters and PyTorch's state_dict in a safetensors file: names,
/// shapes and element order. PyTorch is channels-first: the weight of a convolution is
/// (out, in, h, w), and the inputs of a linear layer over flattened images are in the order
/// (Ch, h, w). In this library channels are last. Names: docs/trunks.md.
namespace train {

/// Declaration of a trunk's parameter in a file: counters are i64, all others f32.
TensorDeclaration in_file(core::Parameter const& parameter);

/// Number of channels of the images that each row of a parameter is multiplied with. 0 if it is not
/// multiplied with images; the element order in files is then the same as in memory.
int64_t channels_of(core::Parameter const& parameter);

/// Permutes every row of a weight from (h * w, Ch), the order in memory, to (Ch, h * w), the order
/// in files, and back. With 0 channels the values are returned unchanged.
std::vector<float> channels_first(std::vector<float> values, int64_t rows, int64_t channels);
std::vector<float> channels_last(std::vector<float> values, int64_t rows, int64_t channels);

/// Name prefix of the classifier's "weight" (C, D) and "bias" (C): "fc.", as in torchvision; empty,
/// as in insightface's files, if the trunk has a layer named fc.
std::string classifier_prefix(layers::Trunk& trunk);

/// The block of the classifier's weight (C, D) that a rank holds.
struct Part {
  int64_t row = 0, rows = 0;        ///< first class and number of classes
  int64_t column = 0, columns = 0;  ///< first feature and number of features
};
Part part_of(HeadKind kind, int64_t classes, int64_t features, int rank, int ranks);

}  // namespace train
