#pragma once
#include "train/formats/safetensors.h"

namespace train {

/// Reader of a state_dict (state_dict.h): one safetensors file, or the files listed in a
/// NAME.safetensors.index.json, Hugging Face's format for several files. In an index,
/// X.00001, X.00002, ... are consecutive blocks of rows of a tensor X; sharded heads are exported
/// in this form.
class StateDictReader {
 public:
  /// Opens the files and reads their headers.
  /// Throws: MissingInput; IoError; BadData if a file is damaged, the index does not match its
  /// files, or the parts of a tensor do not match each other.
  explicit StateDictReader(std::string path);

  std::string const& path() const { return path_; }
  /// Tensors by name, with the parts of a tensor joined.
  std::map<std::string, TensorDeclaration> const& tensors() const { return tensors_; }
  bool contains(std::string const& name) const { return tensors_.contains(name); }

  /// Reads `count` values of an f32, f64 or bf16 tensor, starting at index `first`, rounded to f32.
  /// Throws: core::Error if the range exceeds the tensor; BadData or IoError.
  std::vector<float> floats(std::string const& name, int64_t first, int64_t count) const;
  /// Reads an i64 tensor with one element.
  int64_t number(std::string const& name) const;

 private:
  struct Part {
    SafetensorsReader const* file;
    std::string name;    ///< name in the file
    int64_t begin, end;  ///< element range in the whole tensor
  };

  void read_index();
  SafetensorsReader const& open(std::string const& name, std::string const& tensor);
  void add(SafetensorsReader const& file, std::string const& name);
  void add_part(SafetensorsReader const& file, std::string const& name);

  std::string path_;
  std::map<std::string, SafetensorsReader> files_;  ///< by path
  std::map<std::string, TensorDeclaration> tensors_;
  std::map<std::string, std::vector<Part>> parts_;  ///< parts of each tensor, in order
};

/// Name suffix of part `number`, from 1, of a tensor: ".00001".
std::string part_suffix(int64_t number);

}  // namespace train
