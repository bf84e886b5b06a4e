#include "train/data/rendered/packed_words.h"
#include <algorithm>
#include <list>
#include <queue>
#include "core/check.h"

namespace train {
namespace {

constexpr int64_t block = 16;           // words per block
constexpr size_t longest = 64;          // maximum bytes per word
constexpr char first_letter = longest;  // '@': length bytes are below, bytes of letters above

bool is_letter(char byte) { return static_cast<uint8_t>(byte) > first_letter; }

}  // namespace

void PackedWords::append(std::string_view word) {
  core::check(!word.empty() && word.size() <= longest && std::ranges::all_of(word, is_letter),
              "packed words: not a word of 1 to 64 bytes of letters: '", word, "'");
  core::check(size_ == 0 || last_ < word, "packed words: not in ascending order: '", word,
              "' after '", last_, "'");
  bool const whole = size_++ % block == 0;
  if (whole) blocks_.push_back(text_.size());
  auto const differ = std::ranges::mismatch(last_, word);
  auto const shared = whole ? std::ptrdiff_t{0} : differ.in2 - word.begin();
  text_ += static_cast<char>(shared);
  text_ += word.substr(static_cast<size_t>(shared));
  last_ = word;
}

std::string PackedWords::at(int64_t index) const {
  core::check(0 <= index && index < size_, "packed words: index ", index,
              " is out of range for size ", size_);
  Cursor cursor(*this, index / block);
  for (int64_t i = 0; i <= index % block; ++i) cursor.next();
  return cursor.word();
}

int64_t PackedWords::bytes() const {
  return static_cast<int64_t>(text_.capacity() + blocks_.capacity() * sizeof(uint64_t));
}

void PackedWords::shrink() {
  text_.shrink_to_fit();
  blocks_.shrink_to_fit();
}

PackedWords::Cursor::Cursor(PackedWords const& words, int64_t first)
    : text_(words.text_),
      place_(words.size_ == 0 ? 0 : words.blocks_.at(static_cast<size_t>(first))) {}

bool PackedWords::Cursor::next() {
  if (place_ == text_.size()) return false;
  word_.resize(static_cast<size_t>(text_[place_++]));
  while (place_ < text_.size() && is_letter(text_[place_])) word_ += text_[place_++];
  return true;
}

PackedWords merge(std::vector<PackedWords> const& lists) {
  std::list<PackedWords::Cursor> cursors;
  using Place = PackedWords::Cursor*;
  auto const later = [](Place a, Place b) { return a->word() > b->word(); };
  std::priority_queue<Place, std::vector<Place>, decltype(later)> queue(later);
  auto const advance = [&](Place cursor) {
    if (cursor->next()) queue.push(cursor);
  };
  for (PackedWords const& list : lists) advance(&cursors.emplace_back(list));
  PackedWords merged;
  std::string last;
  while (!queue.empty()) {
    Place const first = queue.top();
    queue.pop();
    if (first->word() != last) merged.append(last = first->word());
    advance(first);
  }
  merged.shrink();
  return merged;
}

}  // namespace train
