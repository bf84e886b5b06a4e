#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <thread>
#include "tests/support/device.h"
#include "tests/train/files.h"
#include "train/data/dataset.h"
#include "train/data/loader.h"
#include "train/data/rendered/font.h"
#include "train/data/rendered/word_list.h"
#include "train/errors.h"

using Catch::Contains;
using tests::TemporaryFolder;
using train::Face;

namespace {

using Pixels = std::vector<float>;

Face const dejavu{"DejaVuSans.ttf", 0, "DejaVu Sans"};
Face const liberation{"LiberationSerif-Regular.ttf", 0, "Liberation Serif"};
Face const paratype{"PTS55F.ttf", 0, "PT Sans"};

bool any(uint32_t) { return true; }

struct Fixture {
  TemporaryFolder folder;
  train::DataConfig config;
  Fixture() {
    config.kind = train::DataKind::words;
    config.global_batch_size = 7;
    config.words = {
        .lists = {list("words", "fox\nlazy\nbrown\ndog\nover\njumps\nquick\nthe\nżółw\n")},
        .train = {dejavu, liberation},
        .test = {paratype}};
  }
  std::string list(std::string const& name, std::string const& text) const {
    tests::write_file(folder.file(name), text);
    return folder.file(name);
  }
  std::vector<std::string> read(std::string const& text,
                                std::function<bool(uint32_t)> const& drawable = any) const {
    train::PackedWords const packed = train::read_word_list(list("list", text), drawable);
    std::vector<std::string> words;
    for (int64_t i = 0; i < packed.size(); ++i) words.push_back(packed.at(i));
    return words;
  }
  train::Task open() const { return train::open_task(config, 1); }
};

using Words = std::vector<std::string>;

Pixels picture(train::Dataset const& data, int64_t index) {
  Pixels pixels(static_cast<size_t>(data.shape().count()));
  data.read(index, pixels.data());
  return pixels;
}

std::vector<Pixels> pictures(train::Dataset const& data) {
  std::vector<Pixels> all;
  for (int64_t i = 0; i < data.size(); ++i) all.push_back(picture(data, i));
  return all;
}

Words names(train::Task const& task) {
  Words all;
  for (int64_t label = 0; label < task.classes; ++label) all.push_back(task.class_name(label));
  return all;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "read_word_list: lines of 2 to 16 letters -> words; others -> left out",
                 "[words]") {
  CHECK(read("bb\na\nit's\nx-ray\nb 2\nb2\n\nsixteenletterwds\nseventeenletterss\naa\r\nbb\ncc") ==
        Words{"aa", "bb", "cc", "sixteenletterwds"});
  CHECK(read("seventeenletterss\n") == Words{});
  CHECK(read("") == Words{});
  CHECK(read("żółćżółćżółćżółć\n") == Words{"żółćżółćżółćżółć"});  // letters, not bytes
}

TEST_CASE_METHOD(Fixture, "read_word_list: upper case in any script -> lower case", "[words]") {
  CHECK(read("Paris\nPARIS\nparis\nŻÓŁW\nżółw\nЄВРОПА\nĈielo\n") ==
        Words{"paris", "ĉielo", "żółw", "європа"});
}

TEST_CASE_METHOD(Fixture, "read_word_list: not UTF-8 -> read as ISO 8859-1", "[words]") {
  CHECK(read("b\xE5t\nfj\xD8rd\n") == Words{"båt", "fjørd"});
}

TEST_CASE_METHOD(Fixture, "read_word_list: Cyrillic word that looks Latin -> left out", "[words]") {
  CHECK(read("рос\nрот\nсоха\npoc\n") == Words{"poc", "рот"});
}

TEST_CASE_METHOD(Fixture, "read_word_list: letter not drawable -> word left out", "[words]") {
  auto const no_q = [](uint32_t letter) { return letter != 'q'; };
  CHECK(read("quick\nfox\nIQ\n", no_q) == Words{"fox"});
}

TEST_CASE_METHOD(Fixture, "words: open_task -> a class per word, a sample per class and font",
                 "[words]") {
  config.words.lists.push_back(list("more", "fox\nhen\n"));
  train::Task const task = open();
  CHECK(task.classes == 10);
  Words words = names(task);
  std::ranges::sort(words);
  CHECK(words ==
        Words{"brown", "dog", "fox", "hen", "jumps", "lazy", "over", "quick", "the", "żółw"});
  train::Dataset const& data = *task.train.data;
  CHECK(data.shape() == core::ImageShape{32, 128, 1});
  CHECK(data.size() == 20);
  CHECK(data.label(0) == 0);
  CHECK(data.label(9) == 9);
  CHECK(data.label(10) == 0);
  CHECK(picture(data, 0) != picture(data, 10));
  CHECK(std::ranges::max(picture(data, 0)) > 0.9f);
  REQUIRE(task.evaluation.size() == 1);
  CHECK(task.evaluation[0].name == "PT Sans");
  CHECK(task.evaluation[0].data->size() == 10);
}

TEST_CASE_METHOD(Fixture, "words: different classes -> different pictures", "[words]") {
  train::Task const task = open();
  std::vector<Pixels> const all = pictures(*task.evaluation[0].data);
  CHECK(std::set(all.begin(), all.end()).size() == 9);
}

TEST_CASE_METHOD(Fixture, "words: fewer classes -> a prefix of the random order of all words",
                 "[words]") {
  std::string text;
  for (char a = 'a'; a <= 'z'; ++a)
    for (char b = 'a'; b <= 'z'; ++b) text += std::string{a, b, '\n'};
  config.words.lists = {list("pairs", text)};
  Words const all = names(open());
  CHECK(all.size() == 676);
  config.words.classes = 50;
  Words const some = names(open());
  CHECK(some == Words(all.begin(), all.begin() + 50));
  std::set<char> first;
  for (std::string const& word : some) first.insert(word[0]);
  CHECK(first.size() > 15);  // expected value: 22.5 of 26 letters
}

TEST_CASE_METHOD(Fixture, "words: eval_samples = n -> n evenly spaced classes", "[words]") {
  config.words.eval_samples = 4;
  auto const few_task = open();
  train::Dataset const& few = *few_task.evaluation[0].data;
  CHECK(few.size() == 4);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 4; ++i) labels.push_back(few.label(i));
  CHECK(labels == std::vector<int64_t>{0, 2, 4, 6});
  train::Task const task = open();
  config.words.eval_samples = 100;
  train::Task const whole = open();
  CHECK(whole.evaluation[0].data->size() == 9);
  for (int64_t i = 0; i < 4; ++i)
    CHECK(picture(*task.evaluation[0].data, i) ==
          picture(*whole.evaluation[0].data, labels[static_cast<size_t>(i)]));
  CHECK(task.train.data->size() == 18);
}

TEST_CASE_METHOD(Fixture, "words: concurrent reads -> identical pictures", "[words]") {
  train::Task const task = open();
  std::vector<Pixels> const alone = pictures(*task.train.data);
  std::vector<int> same(4);
  std::vector<std::thread> threads;
  for (int& result : same)
    threads.emplace_back([&] {
      result = 1;
      for (int round = 0; round < 20; ++round) result &= pictures(*task.train.data) == alone;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(same == std::vector{1, 1, 1, 1});
}

TEST_CASE_METHOD(Fixture, "words: any number of ranks and threads -> identical batches",
                 "[words]") {
  train::Task const task = open();
  config.augment = {.translate = 0.05, .rotation = 5, .noise_std = 0.1};
  auto const gather = [&](int ranks, int threads) {
    config.workers = threads;
    std::vector<Pixels> batches(4);
    for (int rank = 0; rank < ranks; ++rank) {
      train::Loader loader(tests::host(), task.train, config, 3, train::Pass::training, rank,
                           ranks);
      for (Pixels& pixels : batches) {
        train::Batch batch;
        REQUIRE(loader.next(batch));
        auto const* const images = batch.images.data<float>();
        pixels.insert(pixels.end(), images, images + batch.images.count());
      }
    }
    return batches;
  };
  std::vector<Pixels> const alone = gather(1, 1);
  CHECK(gather(1, 3) == alone);
  CHECK(gather(2, 1) == alone);
  CHECK(gather(3, 2) == alone);
}

TEST_CASE("Font::write: line of text -> centered; too long -> scaled down to fit", "[words]") {
  train::Font font(train::find_font(dejavu.path), 0);
  auto const ink = [&](std::u32string_view text, int height, int width) {
    std::vector<uint8_t> bytes(static_cast<size_t>(height * width));
    REQUIRE(font.write(text, height, width, bytes.data()));
    int top = height, bottom = -1, left = width, right = -1;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        if (bytes[static_cast<size_t>(y * width + x)] > 0) {
          top = std::min(top, y), bottom = std::max(bottom, y);
          left = std::min(left, x), right = std::max(right, x);
        }
    return std::array{top, bottom, left, right};
  };
  auto const [top, bottom, left, right] = ink(U"nono", 33, 129);
  CHECK(std::abs(top - (32 - bottom)) <= 1);
  CHECK(std::abs(left - (128 - right)) <= 1);
  CHECK(bottom - top >= 16);  // half an em: not scaled down
  auto const longer = ink(U"nononononononono", 33, 129);
  CHECK(longer[2] == 0);
  CHECK(longer[3] == 128);
  CHECK(longer[1] - longer[0] < (bottom - top) * 2 / 3);
  std::vector<uint8_t> bytes(33 * 129, 9);
  CHECK_FALSE(font.write(U"  ", 33, 129, bytes.data()));
  CHECK(std::ranges::count(bytes, 0) == 33 * 129);
}

TEST_CASE_METHOD(Fixture, "words: fewer drawable words than classes -> ConfigError with both",
                 "[words]") {
  config.words.classes = 10;
  CHECK_THROWS_AS(open(), train::ConfigError);
  CHECK_THROWS_WITH(open(), Contains("9 words") && Contains("10 classes"));
  config.words.classes = 12;
  config.words.lists.push_back(list("more", "їжак\nхата\n"));
  CHECK_THROWS_WITH(open(), Contains("11 words"));
  config.words.test = {{"uming.ttc", 0, "UMing"}};  // has Russian letters, but not Ukrainian ones
  CHECK_THROWS_WITH(open(), Contains("10 words"));
  config.words.lists = {list("none", "1\n2\n")};
  config.words.classes = 0;
  CHECK_THROWS_WITH(open(), Contains("0 words"));
}

TEST_CASE_METHOD(Fixture, "words: missing list -> MissingInput with its Debian package",
                 "[words]") {
  CHECK_THROWS_AS(train::find_word_list("klingon"), train::MissingInput);
  CHECK_THROWS_WITH(train::find_word_list("klingon"),
                    "word list not found: /usr/share/dict/klingon");
  CHECK_THROWS_WITH(train::find_word_list("/nowhere/polish"),
                    "word list not found: /nowhere/polish (Debian package wpolish)");
  config.words.lists = {folder.path().string()};
  CHECK_THROWS_AS(open(), train::MissingInput);
  CHECK_THROWS_WITH(open(), "cannot read the word list " + folder.path().string());
}

TEST_CASE_METHOD(Fixture, "words: test font related to a training font -> ConfigError", "[words]") {
  config.words.test = {{"DejaVuSans-Bold.ttf", 0, "bold"}};
  CHECK_THROWS_AS(open(), train::ConfigError);
  CHECK_THROWS_WITH(
      open(), Contains("data.words") && Contains("'bold'") && Contains("both are DejaVu Sans"));
}
