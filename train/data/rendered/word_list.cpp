#include "train/data/rendered/word_list.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <locale>
#include <string_view>
#include <utility>
#include "train/data/rendered/utf8.h"
#include "train/errors.h"

namespace train {
namespace {

namespace fs = std::filesystem;

/// Word lists, and the Debian packages that contain them.
constexpr std::pair<char const*, char const*> packages[] = {
    {"american-english-insane", "wamerican-insane"},
    {"british-english-insane", "wbritish-insane"},
    {"canadian-english-insane", "wcanadian-insane"},
    {"bokmaal", "wnorwegian"},
    {"nynorsk", "wnorwegian"},
    {"brazilian", "wbrazilian"},
    {"bulgarian", "wbulgarian"},
    {"catalan", "wcatalan"},
    {"danish", "wdanish"},
    {"dutch", "wdutch"},
    {"esperanto", "wesperanto"},
    {"faroese", "wfaroese"},
    {"french", "wfrench"},
    {"galician-minimos", "wgalician-minimos"},
    {"german-medical", "wgerman-medical"},
    {"irish", "wirish"},
    {"italian", "witalian"},
    {"manx", "wmanx"},
    {"ngerman", "wngerman"},
    {"ogerman", "wogerman"},
    {"polish", "wpolish"},
    {"portuguese", "wportuguese"},
    {"spanish", "wspanish"},
    {"swedish", "wswedish"},
    {"swiss", "wswiss"},
    {"ukrainian", "wukrainian"}};

std::string read_whole(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path)) throw MissingInput("cannot read the word list " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_utf8(std::string_view text) {
  while (!text.empty())
    if (take_character(text) == no_character) return false;
  return true;
}

std::string from_latin1(std::string const& text) {
  std::string utf8;
  for (char const byte : text) append_utf8(utf8, static_cast<uint8_t>(byte));
  return utf8;
}

/// Lower-case Cyrillic letters that fonts draw like a e o p c y x i j s.
bool looks_latin(uint32_t letter) {
  constexpr std::u32string_view twins = U"аеорсухіјѕ";
  return twins.find(static_cast<char32_t>(letter)) != std::u32string_view::npos;
}

/// Extracts the word of a line.
class WordRule {
 public:
  explicit WordRule(std::function<bool(uint32_t)> const& drawable) : drawable_(drawable) {}

  /// Returns the word of a UTF-8 line in lower case, or "" if it does not qualify.
  std::string operator()(std::string_view line) const {
    std::string word;
    size_t letters = 0, twins = 0;
    while (!line.empty()) {
      auto const character = static_cast<wchar_t>(take_character(line));
      auto const letter = static_cast<uint32_t>(tables_.tolower(character));
      if (++letters > most_letters || !tables_.is(std::ctype_base::alpha, character) ||
          !drawable_(letter))
        return "";
      twins += looks_latin(letter);
      append_utf8(word, letter);
    }
    return letters < fewest_letters || twins == letters ? "" : word;
  }

 private:
  std::function<bool(uint32_t)> const& drawable_;
  std::locale locale_{"C.UTF-8"};
  std::ctype<wchar_t> const& tables_ = std::use_facet<std::ctype<wchar_t>>(locale_);
};

/// Calls use(line) for each line, without its line ending.
template <class F>
void each_line(std::string_view text, F use) {
  while (!text.empty()) {
    size_t const end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    use(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

std::string find_word_list(std::string const& name) {
  std::string const path = name.find('/') == std::string::npos ? "/usr/share/dict/" + name : name;
  if (fs::exists(path)) return path;
  std::string hint;
  for (auto const& [list, package] : packages)
    if (fs::path(name).filename() == list) hint = core::join(" (Debian package ", package, ")");
  throw MissingInput(core::join("word list not found: ", path, hint));
}

PackedWords read_word_list(std::string const& path, std::function<bool(uint32_t)> const& drawable) {
  std::string text = read_whole(path);
  if (!is_utf8(text)) text = from_latin1(text);
  WordRule const rule(drawable);
  std::string taken;
  each_line(text, [&](std::string_view line) {
    if (std::string const word = rule(line); !word.empty()) taken += word + '\n';
  });
  std::vector<std::string_view> words;
  each_line(taken, [&](std::string_view word) { words.push_back(word); });
  std::ranges::sort(words);
  words.erase(std::ranges::unique(words).begin(), words.end());
  PackedWords packed;
  for (std::string_view const word : words) packed.append(word);
  packed.shrink();
  return packed;
}

}  // namespace train
