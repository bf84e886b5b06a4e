#pragma once
#include <map>
#include <vector>
#include "core/dtype.h"
#include "core/shape.h"
#include "train/formats/file.h"

/// Safetensors files: u64 N | N bytes of JSON, padded with spaces | data; little-endian, row-major.
/// Supported dtypes: F32, F64, BF16, I32, I64, U8.
/// Format: https://huggingface.co/docs/safetensors
namespace train {

using Metadata = std::map<std::string, std::string>;

/// Type, shape and byte range of one tensor. Offsets are relative to the first byte of data.
struct TensorEntry {
  core::Dtype dtype = core::Dtype::f32;
  core::Shape shape;
  uint64_t begin = 0, end = 0;
  uint64_t bytes() const { return end - begin; }
};

/// Reader of a safetensors file. The constructor validates the whole header: dtypes are supported,
/// sizes match shapes, tensors fill the data without gaps or overlaps, names are unique.
/// `read` is thread-safe.
/// Throws: MissingInput, IoError; BadData, with the file and the entry, if the file is invalid.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(std::string path);

  std::string const& path() const { return file_.path(); }
  std::map<std::string, TensorEntry> const& entries() const { return entries_; }
  Metadata const& metadata() const { return metadata_; }
  bool contains(std::string const& name) const { return entries_.count(name) != 0; }

  /// Throws: BadData if the file has no tensor of this name.
  TensorEntry const& entry(std::string const& name) const;

  /// Reads `bytes` bytes of the tensor, starting at its byte `offset`.
  /// Throws: BadData if the range exceeds the tensor; IoError.
  void read(std::string const& name, void* to, size_t bytes, uint64_t offset = 0) const;

 private:
  File file_;
  uint64_t data_begin_ = 0;
  std::map<std::string, TensorEntry> entries_;
  Metadata metadata_;
};

/// Name, type and shape of a tensor to write.
struct TensorDeclaration {
  std::string name;
  core::Dtype dtype = core::Dtype::f32;
  core::Shape shape;
};

/// Writes a safetensors file sequentially; tensors may be larger than memory.
/// Throws: IoError, with the path, if an I/O operation fails.
class SafetensorsWriter {
 public:
  /// Creates the file and writes the header.
  /// Throws: core::Error if two tensors have the same name.
  SafetensorsWriter(std::string path, std::vector<TensorDeclaration> const& tensors,
                    Metadata const& metadata = {});

  /// Appends the next bytes of the tensors, in declaration order and in parts of any size.
  /// Throws: core::Error if this exceeds the declared size.
  void append(void const* data, size_t bytes);

  /// Waits until the data is on the disk, closes the file and returns its digest.
  /// Throws: core::Error if declared bytes are missing.
  Digest finish();

 private:
  void write(void const* data, size_t bytes);

  File file_;
  Digest written_;
  uint64_t left_ = 0;  // declared bytes not yet appended
};

/// Writes a safetensors file whose tensors are filled in parallel: some rows of one tensor, then
/// some rows of the others.
/// Throws: as SafetensorsWriter.
class SafetensorsTable {
 public:
  /// Creates the file and writes the header.
  SafetensorsTable(std::string path, std::vector<TensorDeclaration> const& tensors,
                   Metadata const& metadata = {});

  /// Appends the next bytes of a tensor. `tensor`: index in the declarations.
  void append(size_t tensor, void const* data, size_t bytes);

  /// Waits until the data is on the disk and closes the file.
  void finish();

 private:
  struct Place {
    uint64_t next, end;  ///< byte offsets in the file
  };

  File file_;
  std::vector<Place> places_;
};

}  // namespace train
