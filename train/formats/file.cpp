#include "train/formats/file.h"
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>
#include <zlib.h>
#include "train/errors.h"

namespace train {
namespace {

[[noreturn]] void fail_io(std::string const& what, std::string const& path) {
  throw IoError(
      core::join("cannot ", what, " ", path, ": ", std::generic_category().message(errno)));
}

}  // namespace

File File::open(std::string path) {
  int const descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR))
    throw MissingInput(core::join("file not found: ", path));
  if (descriptor < 0) fail_io("open", path);
  return {std::move(path), descriptor};
}

File File::create(std::string path) {
  int const descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_io("create", path);
  return {std::move(path), descriptor};
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

uint64_t File::size() const {
  struct stat status;
  if (fstat(descriptor_, &status) != 0) fail_io("read the size of", path_);
  if (!S_ISREG(status.st_mode)) throw BadData(core::join(path_, ": not a regular file"));
  return static_cast<uint64_t>(status.st_size);
}

void File::read(uint64_t offset, void* to, size_t bytes) const {
  auto* place = static_cast<std::byte*>(to);
  while (bytes > 0) {
    ssize_t const got = pread(descriptor_, place, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("read", path_);
    if (got == 0) throw BadData(core::join(path_, ": unexpected end of file at byte ", offset));
    place += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

void File::write(void const* from, size_t bytes) {
  auto const* place = static_cast<std::byte const*>(from);
  while (bytes > 0) {
    ssize_t const put = ::write(descriptor_, place, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_io("write", path_);
    place += put;
    bytes -= static_cast<size_t>(put);
  }
}

void File::write_at(uint64_t offset, void const* from, size_t bytes) {
  auto const* place = static_cast<std::byte const*>(from);
  while (bytes > 0) {
    ssize_t const put = pwrite(descriptor_, place, bytes, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_io("write", path_);
    place += put;
    offset += static_cast<uint64_t>(put);
    bytes -= static_cast<size_t>(put);
  }
}

void File::sync() {
  if (fsync(descriptor_) != 0) fail_io("sync", path_);
}

void File::close() {
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_io("close", path_);
}

void Digest::add(void const* data, size_t count) {
  bytes += count;
  crc32 = static_cast<uint32_t>(crc32_z(crc32, static_cast<Bytef const*>(data), count));
}

Digest digest(File const& file) {
  Digest all;
  uint64_t const size = file.size();
  std::vector<std::byte> piece(std::min<uint64_t>(size, uint64_t{4} << 20));
  while (all.bytes < size) {
    size_t const count = std::min<uint64_t>(piece.size(), size - all.bytes);
    file.read(all.bytes, piece.data(), count);
    all.add(piece.data(), count);
  }
  return all;
}

}  // namespace train
