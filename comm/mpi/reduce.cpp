#include "comm/mpi/reduce.h"
#include <algorithm>
#include <array>

namespace comm {
namespace {

template <class T, class Combine>
void reduce_typed(std::vector<std::byte const*> const& parts, int64_t count, std::byte* out,
                  Combine combine) {
  // Computes in a local block, which stays in cache across parts and, as the compiler can see,
  // overlaps none of them.
  std::array<T, 1024> block;
  for (int64_t begin = 0; begin < count; begin += std::ssize(block)) {
    int64_t const n = std::min(count - begin, std::ssize(block));
    auto const from = [&](std::byte const* part) {
      return reinterpret_cast<T const*>(part) + begin;
    };
    std::copy_n(from(parts[0]), n, block.begin());
    for (size_t p = 1; p < parts.size(); ++p)
      std::transform(block.begin(), block.begin() + n, from(parts[p]), block.begin(), combine);
    std::copy_n(block.begin(), n, reinterpret_cast<T*>(out) + begin);
  }
}

template <class T>
void reduce_typed(Reduce how, std::vector<std::byte const*> const& parts, int64_t count,
                  std::byte* out) {
  if (how == Reduce::sum)
    reduce_typed<T>(parts, count, out, [](T a, T b) { return a + b; });
  else
    reduce_typed<T>(parts, count, out, [](T a, T b) { return a < b ? b : a; });
}

}  // namespace

void reduce(Reduce how, core::Dtype dtype, std::vector<std::byte const*> const& parts,
            int64_t count, std::byte* out) {
  core::visit(dtype, [&]<class T>() {
    if constexpr (std::is_same_v<T, core::bf16> || std::is_same_v<T, uint8_t>)
      core::fail("reduce does not support ", dtype);
    else
      reduce_typed<T>(how, parts, count, out);
  });
}

}  // namespace comm
