#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace train {

/// RAII wrapper of a file descriptor. Error messages contain the path. `read` is thread-safe.
class File {
 public:
  /// Opens a file for reading.
  /// Throws: MissingInput if the file does not exist; IoError if it cannot be opened.
  static File open(std::string path);
  /// Opens a file for writing and truncates it; creates it if it does not exist.
  /// Throws: IoError.
  static File create(std::string path);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  std::string const& path() const { return path_; }
  /// The POSIX file descriptor; owned by this object.
  int descriptor() const { return descriptor_; }
  /// Size in bytes.
  /// Throws: BadData if this is not a regular file; IoError.
  uint64_t size() const;

  /// Reads `bytes` bytes, starting at byte `offset`.
  /// Throws: BadData if the file ends too early; IoError.
  void read(uint64_t offset, void* to, size_t bytes) const;
  /// Appends `bytes` bytes.
  /// Throws: IoError with the system's reason, such as a full disk or an exceeded quota.
  void write(void const* from, size_t bytes);
  /// Writes `bytes` bytes at byte `offset`, which may be past the end; the gap reads as zeros.
  /// Throws: IoError, as `write`.
  void write_at(uint64_t offset, void const* from, size_t bytes);
  /// Blocks until the contents are on the disk (fsync).
  /// Throws: IoError.
  void sync();
  /// Closes the file. Call it after writing: some file systems report a failed write only here,
  /// and the destructor cannot throw.
  /// Throws: IoError.
  void close();

 private:
  File(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_ = -1;
};

/// Size and CRC-32 (zlib) of a file's contents.
struct Digest {
  uint64_t bytes = 0;
  uint32_t crc32 = 0;

  /// Adds the next `count` bytes.
  void add(void const* data, size_t count);
  bool operator==(Digest const&) const = default;
};

/// Reads the whole file in pieces of at most 4 MiB and returns its digest.
/// Throws: BadData or IoError, as File::read.
Digest digest(File const& file);

}  // namespace train
