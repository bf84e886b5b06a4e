#pragma once
#include "train/formats/safetensors.h"

namespace train {

/// A state_dict (state_dict.h) to read: a safetensors file, or the files that a
/// NAME.safetensors.index.json tells of, as Hugging Face writes one in several files. In an index,
/// X.00001, X.00002, ... are the rows of a tensor X in order; that is how a head is exported by
/// shards.
class StateDictReader {
 public:
  /// Opens the files and reads their headers. Throws MissingInput, IoError, and BadData where a
  /// file is damaged, an index does not fit its files, or parts of a tensor do not fit together.
  explicit StateDictReader(std::string path);

  std::string const& path() const { return path_; }
  /// Under their names, parts joined.
  std::map<std::string, TensorDeclaration> const& tensors() const { return tensors_; }
  bool contains(std::string const& name) const { return tensors_.contains(name); }

  /// `count` numbers of a tensor of floats from its `first` on, rounded to f32.
  std::vector<float> floats(std::string const& name, int64_t first, int64_t count) const;
  /// The number of a tensor of one, i64.
  int64_t number(std::string const& name) const;

 private:
  struct Part {
    SafetensorsReader const* file;
    std::string name;    ///< in the file
    int64_t begin, end;  ///< numbers of the whole tensor
  };

  void read_index();
  SafetensorsReader const& open(std::string const& name, std::string const& tensor);
  void add(SafetensorsReader const& file, std::string const& name);
  void add_part(SafetensorsReader const& file, std::string const& name);

  std::string path_;
  std::map<std::string, SafetensorsReader> files_;  ///< by path
  std::map<std::string, TensorDeclaration> tensors_;
  std::map<std::string, std::vector<Part>> parts_;  ///< of each tensor, in order
};

/// What comes after a tensor's name in that of its part `number`, from 1: ".00001".
std::string part_suffix(int64_t number);

}  // namespace train
