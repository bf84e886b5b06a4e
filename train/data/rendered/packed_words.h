#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace train {

/// Front-coded list of words in ascending byte order: each word is stored without the prefix that
/// it shares with the previous word. An entry is the length of the shared prefix, a byte below 64,
/// followed by the remaining bytes. These are letters in UTF-8, all above 64, so the next length
/// byte ends the word. Every 16th word is stored in full, to allow random access.
class PackedWords {
 public:
  /// Appends a word of 1 to 64 bytes, which must be greater than the last one.
  /// Throws: core::Error if it is not, or contains other bytes than letters.
  void append(std::string_view word);

  int64_t size() const { return size_; }
  /// Throws: core::Error if `index` is out of range.
  std::string at(int64_t index) const;
  /// Allocated memory in bytes.
  int64_t bytes() const;
  /// Frees memory that is reserved for more words.
  void shrink();

  /// Iterates over the words in order.
  class Cursor {
   public:
    /// Starts before the first word of a block of 16 words.
    explicit Cursor(PackedWords const& words, int64_t block = 0);
    /// Advances to the next word, initially the first. Returns false at the end.
    bool next();
    std::string const& word() const { return word_; }

   private:
    std::string const& text_;
    size_t place_;
    std::string word_;
  };

 private:
  std::string text_, last_;
  std::vector<uint64_t> blocks_;  ///< offset in text_ of every 16th word
  int64_t size_ = 0;
};

/// Returns the union of the lists, without duplicates.
PackedWords merge(std::vector<PackedWords> const& lists);

}  // namespace train
