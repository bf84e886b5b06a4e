#include <algorithm>
#include <unordered_map>
#include "train/data/permutation.h"
#include "train/data/rendered/faces.h"
#include "train/data/rendered/font_pool.h"
#include "train/data/rendered/packed_words.h"
#include "train/data/rendered/utf8.h"
#include "train/data/rendered/word_list.h"
#include "train/data/sources.h"

/// Data set of words: classes are words, samples are their pictures in fonts, drawn on demand. A
/// rank stores only the packed words; labels and orders are computed.
namespace train {
namespace {

/// The words in a random order that is the same for every run. Class c is the c-th word, so a
/// smaller set of classes is a prefix of a larger one.
class Vocabulary {
 public:
  explicit Vocabulary(PackedWords words)
      : words_(std::move(words)),
        order_(words_.size(), {.seed = 0, .purpose = core::Purpose::word_order, .item = 0}) {}

  int64_t size() const { return words_.size(); }
  std::string word(int64_t label) const { return words_.at(order_(label)); }

 private:
  PackedWords words_;
  Permutation order_;
};

std::u32string letters_of(std::string_view word) {
  std::u32string letters;
  while (!word.empty()) letters += static_cast<char32_t>(take_character(word));
  return letters;
}

/// Words in some fonts, ordered by font. In each font, `samples` classes, evenly spaced.
class WordSet final : public Dataset {
 public:
  WordSet(std::shared_ptr<Vocabulary const> vocabulary, std::vector<Face> faces, int64_t classes,
          int64_t samples, WordsConfig const& config)
      : vocabulary_(std::move(vocabulary)),
        fonts_(std::move(faces)),
        classes_(classes),
        samples_(samples),
        height_(config.height),
        width_(config.width) {}

  core::ImageShape shape() const override { return {height_, width_, 1}; }
  int64_t size() const override { return samples_ * static_cast<int64_t>(fonts_.size()); }
  int64_t label(int64_t index) const override {
    return index % samples_ * classes_ / samples_;  // no overflow up to 2^31 classes
  }
  void read(int64_t index, float* pixels) const override {
    std::string const word = vocabulary_->word(label(index));
    std::vector<uint8_t> picture(static_cast<size_t>(shape().count()));
    bool const drawn = fonts_.with([&](FontPool::Fonts const& fonts) {
      Font& font = *fonts[static_cast<size_t>(index / samples_)];
      return font.write(letters_of(word), height_, width_, picture.data());
    });
    if (!drawn) throw BadData("data.words: a font draws no ink for the word '" + word + "'");
    to_float(picture.data(), shape().count(), pixels);
  }

 private:
  std::shared_ptr<Vocabulary const> vocabulary_;
  FontPool fonts_;
  int64_t classes_, samples_;
  int height_, width_;
};

/// Whether all fonts have a character. Cached: it is called millions of times for about a hundred
/// letters.
class Letters {
 public:
  explicit Letters(FontPool::Fonts const& fonts) : fonts_(fonts) {}

  bool operator()(uint32_t letter) {
    auto const [known, fresh] = known_.try_emplace(letter, false);
    if (fresh)
      known->second =
          std::ranges::all_of(fonts_, [&](auto const& font) { return font->glyph(letter) != 0; });
    return known->second;
  }

 private:
  FontPool::Fonts const& fonts_;
  std::unordered_map<uint32_t, bool> known_;
};

/// Reads the words of all lists whose letters are in every font.
PackedWords read_words(std::vector<std::string> const& lists, std::vector<Face> faces) {
  std::vector<std::string> paths;
  std::ranges::transform(lists, std::back_inserter(paths), find_word_list);
  return FontPool(std::move(faces)).with([&](FontPool::Fonts const& fonts) {
    std::vector<PackedWords> all;
    Letters letters(fonts);
    for (std::string const& path : paths) all.push_back(read_word_list(path, std::ref(letters)));
    return merge(all);
  });
}

}  // namespace

Task open_words(WordsConfig const& config) {
  std::vector<Face> const train = find_files(config.train), test = find_files(config.test);
  check_lineages("data.words", train, test);
  std::vector<Face> all = train;
  all.insert(all.end(), test.begin(), test.end());
  auto const words = std::make_shared<Vocabulary>(read_words(config.lists, std::move(all)));
  if (words->size() == 0 || words->size() < config.classes.value_or(0))
    throw ConfigError(core::join("data.words: the lists have ", words->size(),
                                 " words whose letters are in every font, but ",
                                 config.classes.value_or(1), " classes are requested"));
  int64_t const classes = config.classes.value_or(words->size());
  int64_t const samples = std::min(config.eval_samples.value_or(classes), classes);

  Task task;
  task.classes = classes;
  task.train = {"train", std::make_shared<WordSet>(words, train, classes, classes, config)};
  for (Face const& face : test)
    task.evaluation.push_back(
        {face.name, std::make_shared<WordSet>(words, std::vector{face}, classes, samples, config)});
  task.class_name = [words](int64_t label) { return words->word(label); };
  return task;
}

}  // namespace train
