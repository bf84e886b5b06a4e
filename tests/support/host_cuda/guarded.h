#pragma once
#include <cstddef>
#include <string>

namespace tests::host_cuda {

/// Host memory that reveals incorrect use. It is 64-byte aligned, filled with 0xFF bytes (NaN in
/// every float), and placed between guard bytes. Under AddressSanitizer there are no guards; it
/// reports a read or write past the end.
class GuardedMemory {
 public:
  /// `guard`: bytes on each side, a multiple of 64. Throws: core::OutOfMemory.
  explicit GuardedMemory(size_t bytes, size_t guard = 4096);
  ~GuardedMemory();
  GuardedMemory(GuardedMemory const&) = delete;
  GuardedMemory& operator=(GuardedMemory const&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }

  /// Fills the memory with 0xFF bytes.
  void poison();
  /// The guard byte that was written, as text: "byte 67 of 64", "byte -4 of 64". Empty if none was.
  std::string damage() const;

 private:
  size_t bytes_, guard_;
  std::byte* data_;
};

}  // namespace tests::host_cuda
