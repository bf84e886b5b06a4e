#pragma once
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>

namespace core::cuda {

/// Places blocks in one range of memory, on the host, without touching the memory. A block that was
/// given back is handed out again at once: its users must work in the order of one stream.
///
/// Best fit, except for the gap at the end of the range, which is used only if no other fits. The
/// places thus do not depend on the size of the range: what fitted into `extent()` bytes fits into
/// a range of that size.
class Arena {
 public:
  static constexpr size_t alignment = 256;

  explicit Arena(size_t bytes) : end_(bytes) {
    if (bytes > 0) gaps_.emplace(0, bytes);
  }

  /// `bytes`: at least 1.
  /// Returns the offset of a new block, a multiple of `alignment`; none if no gap is large enough.
  std::optional<size_t> take(size_t bytes) {
    size_t const size = (bytes + alignment - 1) / alignment * alignment;
    auto const gap = best_gap(size);
    if (gap == gaps_.end()) return std::nullopt;
    auto const [offset, width] = *gap;
    gaps_.erase(gap);
    if (width > size) gaps_.emplace(offset + size, width - size);
    blocks_.emplace(offset, size);
    if (offset + size > extent_) extent_ = offset + size;
    return offset;
  }

  /// Frees the block at `offset`.
  void give_back(size_t offset) {
    auto const block = blocks_.find(offset);
    size_t begin = offset, end = offset + block->second;
    blocks_.erase(block);
    if (auto const after = gaps_.find(end); after != gaps_.end()) {
      end += after->second;
      gaps_.erase(after);
    }
    if (auto before = gaps_.lower_bound(begin); before != gaps_.begin()) {
      --before;
      if (before->first + before->second == begin) {
        begin = before->first;
        gaps_.erase(before);
      }
    }
    gaps_.emplace(begin, end - begin);
  }

  /// Number of blocks that have not been given back.
  size_t blocks() const { return blocks_.size(); }
  /// Bytes from the start of the range to the end of the highest block so far.
  size_t extent() const { return extent_; }

 private:
  using Gaps = std::map<size_t, size_t>;

  Gaps::const_iterator best_gap(size_t size) const {
    auto best = gaps_.end();
    for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
      auto const [offset, width] = *gap;
      bool const last = offset + width == end_;
      if (width < size || (last && best != gaps_.end())) continue;
      if (best == gaps_.end() || width < best->second) best = gap;
    }
    return best;
  }

  Gaps gaps_;                        ///< bytes by offset; no two are adjacent
  std::map<size_t, size_t> blocks_;  ///< bytes by offset
  size_t end_, extent_ = 0;
};

}  // namespace core::cuda
