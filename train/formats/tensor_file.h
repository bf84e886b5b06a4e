#pragma once
#include "core/tensor.h"
#include "train/formats/safetensors.h"

/// Live tensors to and from safetensors files, a piece of at most 64 MiB at a time.
namespace train {

/// A tensor under the name files call it.
struct NamedTensor {
  std::string name;
  core::Tensor tensor;
};

/// Writes the file and waits until it is on the disk. Throws IoError.
Digest write_tensors(std::string path, std::vector<NamedTensor> const& tensors);

enum class Others { refused, ignored };

/// Throws ConfigError, with every difference, unless the file has these names, with their types and
/// shapes; `others`: what becomes of names beside them.
void check_fit(SafetensorsReader const& file, std::vector<NamedTensor> const& tensors,
               Others others = Others::refused);

/// Fills tensors that fit. Throws BadData or IoError.
void read_tensors(SafetensorsReader const& file, std::vector<NamedTensor>& tensors);

/// Rows of this many numbers that take 64 MiB in f32; at least one.
int64_t rows_at_once(int64_t columns);

/// `count` numbers of a tensor of f32, f64 or bf16 from its `first` on, rounded to f32.
std::vector<float> read_floats(SafetensorsReader const& file, std::string const& name,
                               int64_t first, int64_t count);

}  // namespace train
