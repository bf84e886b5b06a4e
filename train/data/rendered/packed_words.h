#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace train {

/// Words in ascending order of their bytes, each without what it begins with in common with the one
/// before (front coding). A word is the number of bytes shared, which is below 64, and the bytes
/// after them, which are all above: those of letters in UTF-8. So a word ends where the next number
/// stands. Every 16th is written whole, and can be found.
class PackedWords {
 public:
  /// Adds a word above the last, of 1 to 64 bytes.
  void append(std::string_view word);

  int64_t size() const { return size_; }
  std::string at(int64_t index) const;
  /// Of memory.
  int64_t bytes() const;
  /// Gives back memory kept for more words.
  void shrink();

  /// Reads the words one after another.
  class Cursor {
   public:
    explicit Cursor(PackedWords const& words, int64_t block = 0);
    /// Moves to the next word, the first at the beginning; false at the end.
    bool next();
    std::string const& word() const { return word_; }

   private:
    std::string const& text_;
    size_t place_;
    std::string word_;
  };

 private:
  std::string text_, last_;
  std::vector<uint64_t> blocks_;  ///< where in the text each 16th word begins
  int64_t size_ = 0;
};

/// The words that are in one or more of the lists, each once.
PackedWords merge(std::vector<PackedWords> const& lists);

}  // namespace train
