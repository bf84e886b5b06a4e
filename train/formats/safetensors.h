#pragma once
#include <map>
#include <vector>
#include "core/dtype.h"
#include "core/shape.h"
#include "train/formats/file.h"

/// Safetensors: u64 N | N bytes of JSON, padded with spaces | data; little-endian, row-major.
/// https://huggingface.co/docs/safetensors. Here with the dtypes F32 F64 BF16 I32 I64 U8.
namespace train {

using Metadata = std::map<std::string, std::string>;

/// Type, shape and place of one tensor; the place counts from the first byte of data.
struct TensorEntry {
  core::Dtype dtype = core::Dtype::f32;
  core::Shape shape;
  uint64_t begin = 0, end = 0;
  uint64_t bytes() const { return end - begin; }
};

/// An open file whose header has been checked whole: types known, sizes matching shapes, tensors
/// side by side without hole or overlap up to the end of the file, no name twice. Whatever fails
/// throws BadData naming the file and the entry. Reading is safe from several threads.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(std::string path);

  std::string const& path() const { return file_.path(); }
  std::map<std::string, TensorEntry> const& entries() const { return entries_; }
  Metadata const& metadata() const { return metadata_; }
  bool contains(std::string const& name) const { return entries_.count(name) != 0; }

  /// Throws BadData when there is no such entry.
  TensorEntry const& entry(std::string const& name) const;

  /// `bytes` bytes of the tensor from its byte `offset` on. Throws BadData past its end.
  void read(std::string const& name, void* to, size_t bytes, uint64_t offset = 0) const;

 private:
  File file_;
  uint64_t data_begin_ = 0;
  std::map<std::string, TensorEntry> entries_;
  Metadata metadata_;
};

/// A tensor to be written.
struct TensorDeclaration {
  std::string name;
  core::Dtype dtype = core::Dtype::f32;
  core::Shape shape;
};

/// Writes a file from one end to the other, so tensors may be larger than memory. I/O errors throw
/// IoError naming the file.
class SafetensorsWriter {
 public:
  /// Creates the file and writes the header.
  SafetensorsWriter(std::string path, std::vector<TensorDeclaration> const& tensors,
                    Metadata const& metadata = {});

  /// The next bytes of the tensors, in the order of their declaration; in parts of any size.
  void append(void const* data, size_t bytes);

  /// Once all declared bytes are there: waits until they are on the disk and closes the file.
  /// Gives what `digest` would find in it.
  Digest finish();

 private:
  void write(void const* data, size_t bytes);

  File file_;
  Digest written_;
  uint64_t left_ = 0;  // bytes declared and not yet appended
};

/// Writes a file whose tensors grow together: some rows of one, then of the others. Errors as
/// SafetensorsWriter's.
class SafetensorsTable {
 public:
  /// Creates the file and writes the header.
  SafetensorsTable(std::string path, std::vector<TensorDeclaration> const& tensors,
                   Metadata const& metadata = {});

  /// The next bytes of the tensor declared in this place.
  void append(size_t tensor, void const* data, size_t bytes);

  /// Once all declared bytes are there: waits until they are on the disk and closes the file.
  void finish();

 private:
  struct Place {
    uint64_t next, end;  ///< in the file
  };

  File file_;
  std::vector<Place> places_;
};

}  // namespace train
