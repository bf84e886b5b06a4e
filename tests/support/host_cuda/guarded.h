#pragma once
#include <cstddef>
#include <string>

namespace tests::host_cuda {

/// Host memory that shows what is wrong with its use. 64-byte aligned, filled with 0xFF bytes (NaN
/// in every float), and between guard bytes. Under AddressSanitizer there are no guards, and the
/// memory ends where a read or write past it is reported.
class GuardedMemory {
 public:
  /// `guard`: bytes on each side, a multiple of 64. Throws core::OutOfMemory.
  explicit GuardedMemory(size_t bytes, size_t guard = 4096);
  ~GuardedMemory();
  GuardedMemory(GuardedMemory const&) = delete;
  GuardedMemory& operator=(GuardedMemory const&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }

  /// Fills it with 0xFF bytes.
  void poison();
  /// Which guard byte was written, for people: "byte 67 of 64", "byte -4 of 64". Empty where none
  /// was.
  std::string damage() const;

 private:
  size_t bytes_, guard_;
  std::byte* data_;
};

}  // namespace tests::host_cuda
