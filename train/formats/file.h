#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace train {

/// An open file whose errors name it. Reading is safe from several threads.
class File {
 public:
  /// For reading. Throws MissingInput when there is none, IoError when it cannot be opened.
  static File open(std::string path);
  /// For writing, emptied. Throws IoError.
  static File create(std::string path);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  std::string const& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  uint64_t size() const;

  /// `bytes` bytes from `offset` on. Throws BadData when the file ends before, IoError.
  void read(uint64_t offset, void* to, size_t bytes) const;
  /// Appends. Throws IoError with the system's reason: disk full, quota, a broken device.
  void write(void const* from, size_t bytes);
  /// Writes at `offset`, which may be past the end; what is between reads as zeros. Throws as
  /// above.
  void write_at(uint64_t offset, void const* from, size_t bytes);
  /// Returns when the contents are on the disk. Throws IoError.
  void sync();
  /// Throws IoError: some file systems report a failed write only here. The destructor cannot.
  void close();

 private:
  File(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_ = -1;
};

/// Size and CRC-32 (zlib's) of a file's contents.
struct Digest {
  uint64_t bytes = 0;
  uint32_t crc32 = 0;

  /// Takes in the next bytes.
  void add(void const* data, size_t count);
  bool operator==(Digest const&) const = default;
};

/// Reads the file whole, a piece at a time. Throws as File::read.
Digest digest(File const& file);

}  // namespace train
