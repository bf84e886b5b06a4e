#include "train/data/rendered/packed_words.h"
#include <algorithm>
#include <catch2/catch.hpp>
#include "core/check.h"
#include "core/random.h"

using train::PackedWords;

namespace {

using Words = std::vector<std::string>;

PackedWords pack(Words const& words) {
  PackedWords packed;
  for (std::string const& word : words) packed.append(word);
  return packed;
}

Words unpack(PackedWords const& packed) {
  Words words;
  for (PackedWords::Cursor cursor(packed); cursor.next();) words.push_back(cursor.word());
  return words;
}

/// Sorted, distinct words of 1 to 64 bytes over three letters, one of which has two bytes. Many
/// words share a prefix.
Words random_words(int64_t count) {
  core::Random random({5, core::Purpose::synthetic, 0});
  Words words;
  for (int64_t i = 0; i < count; ++i) {
    std::string word;
    for (auto letters = 1 + random.below(32); letters > 0; --letters)
      word += std::array{"a", "z", "ż"}[random.below(3)];
    words.push_back(word);
  }
  std::ranges::sort(words);
  words.erase(std::ranges::unique(words).begin(), words.end());
  return words;
}

}  // namespace

TEST_CASE("PackedWords: cursor and random access -> the words that were appended", "[words]") {
  for (int64_t const count : {0, 1, 15, 16, 17, 33, 1000}) {
    Words const words = random_words(count);
    PackedWords const packed = pack(words);
    CHECK(packed.size() == std::ssize(words));
    CHECK(unpack(packed) == words);
    for (int64_t i = 0; i < packed.size(); ++i)
      CHECK(packed.at(i) == words[static_cast<size_t>(i)]);
  }
}

TEST_CASE("PackedWords: common prefixes -> stored once", "[words]") {
  PackedWords packed = pack({"work", "worked", "worker", "workers", "working"});
  packed.shrink();
  // Suffixes "work", "ed", "r", "s", "ing", one length byte each, and one block offset. The text of
  // 16 bytes exceeds the inline capacity of std::string, 15 bytes, so its capacity is exact.
  CHECK(packed.bytes() == 11 + 5 + 8);
}

TEST_CASE("PackedWords: other bytes than letters, wrong order or bad index -> core::Error",
          "[words]") {
  for (std::string const& wrong :
       {std::string(), std::string("a b"), std::string("b2"), std::string(65, 'b')}) {
    PackedWords packed = pack({"a"});
    CHECK_THROWS_AS(packed.append(wrong), core::Error);
  }
  PackedWords packed = pack({"b"});
  CHECK_THROWS_WITH(packed.append("b"), Catch::Contains("not in ascending order: 'b' after 'b'"));
  CHECK_THROWS_AS(packed.append("a"), core::Error);
  CHECK(unpack(packed) == Words{"b"});
  CHECK_THROWS_AS(packed.at(1), core::Error);
  CHECK_THROWS_AS(packed.at(-1), core::Error);
}

TEST_CASE("merge: overlapping word lists -> each word once, in order", "[words]") {
  CHECK(train::merge({}).size() == 0);
  CHECK(unpack(train::merge({pack({"b", "d"}), pack({}), pack({"a", "b"}), pack({"b"})})) ==
        Words{"a", "b", "d"});
  Words const words = random_words(1000);
  std::vector<PackedWords> lists(3);
  for (size_t i = 0; i < words.size(); ++i) {
    lists[i % 3].append(words[i]);
    if (i % 7 == 0) lists[(i + 1) % 3].append(words[i]);
  }
  CHECK(unpack(train::merge(lists)) == words);
}
