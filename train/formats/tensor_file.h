#pragma once
#include "core/tensor.h"
#include "train/formats/safetensors.h"

/// Copies tensors between a device and safetensors files in pieces of at most 64 MiB.
namespace train {

/// A tensor and its name in files.
struct NamedTensor {
  std::string name;
  core::Tensor tensor;
};

/// Writes the tensors to a file, waits until it is on the disk and returns its digest.
/// Throws: IoError; core::Error if two tensors have the same name.
Digest write_tensors(std::string path, std::vector<NamedTensor> const& tensors);

enum class Others { refused, ignored };

/// Checks that the file contains these tensors with the same types and shapes. `others`: how to
/// treat additional tensors in the file.
/// Throws: ConfigError with the list of all differences.
void check_fit(SafetensorsReader const& file, std::vector<NamedTensor> const& tensors,
               Others others = Others::refused);

/// Reads the tensors from the file, which must have passed check_fit.
/// Throws: BadData or IoError.
void read_tensors(SafetensorsReader const& file, std::vector<NamedTensor>& tensors);

/// Number of rows of `columns` f32 values that fit into 64 MiB; at least 1.
int64_t rows_at_once(int64_t columns);

/// Reads `count` values of an f32, f64 or bf16 tensor, starting at index `first`, rounded to f32.
/// Throws: core::Error if the tensor is not floating-point; BadData or IoError.
std::vector<float> read_floats(SafetensorsReader const& file, std::string const& name,
                               int64_t first, int64_t count);

}  // namespace train
