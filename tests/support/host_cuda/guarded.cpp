#include "tests/support/host_cuda/guarded.h"
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include "core/device.h"
#include "tests/support/host_cuda/sanitizers.h"

namespace tests::host_cuda {
namespace {

constexpr size_t alignment = 64;
constexpr std::byte unwritten{0xFF}, guarding{0xA5};

}  // namespace

GuardedMemory::GuardedMemory(size_t bytes, size_t guard)
    : bytes_(bytes), guard_(address_sanitizer ? 0 : guard) {
  void* whole = nullptr;
  if (bytes > PTRDIFF_MAX - 2 * guard_ || posix_memalign(&whole, alignment, bytes + 2 * guard_))
    throw core::OutOfMemory(core::join("out of memory: asked for ", bytes, " bytes"));
  data_ = static_cast<std::byte*>(whole) + guard_;
  std::fill_n(data_ - guard_, guard_, guarding);
  std::fill_n(data_ + bytes_, guard_, guarding);
  poison();
}

GuardedMemory::~GuardedMemory() { std::free(data_ - guard_); }

void GuardedMemory::poison() { std::fill_n(data_, bytes_, unwritten); }

std::string GuardedMemory::damage() const {
  auto const written = [](std::byte b) { return b != guarding; };
  auto const place = [&](std::byte const* at) {
    return core::join("byte ", at - data_, " of ", bytes_);
  };
  std::byte const *const end = data_ + bytes_, *const last = end + guard_;
  if (auto const* at = std::find_if(end, last, written); at != last) return place(at);
  for (auto const* at = data_ - 1; at >= data_ - guard_; --at)
    if (written(*at)) return place(at);
  return "";
}

}  // namespace tests::host_cuda
