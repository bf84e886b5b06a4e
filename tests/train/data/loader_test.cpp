#include "train/data/loader.h"
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <map>
#include <numeric>
#include <thread>
#include "tests/support/device.h"
#include "train/errors.h"

using tests::host;
using train::Batch;
using train::DataConfig;
using train::Loader;
using train::Pass;

namespace {

using Pixels = std::vector<float>;

/// Images of shape (3, 3, 2); image i is filled with i / 100 and has label i, so that the rows of a
/// batch identify their samples.
class Numbered : public train::Dataset {
 public:
  explicit Numbered(int64_t size) : size_(size) {}
  core::ImageShape shape() const override { return {3, 3, 2}; }
  int64_t size() const override { return size_; }
  int64_t label(int64_t index) const override { return index; }
  void read(int64_t index, float* pixels) const override {
    std::fill_n(pixels, 18, static_cast<float>(index) / 100);
  }

 private:
  int64_t size_;
};

DataConfig config(int64_t batch, int threads = 1) {
  DataConfig config;
  config.global_batch_size = batch;
  config.workers = threads;
  config.prefetch_batches = 2;
  return config;
}

DataConfig changing(int64_t batch, int threads) {
  DataConfig change = config(batch, threads);
  change.augment = {
      .translate = 0.2, .rotation = 20, .noise_std = 0.1, .contrast = 0.1, .horizontal_flip = true};
  change.mean = {0.25, 0.5};
  change.std = {2.0, 0.5};
  return change;
}

/// Images and labels of a global batch, concatenated over the ranks.
struct Global {
  Pixels images;
  std::vector<int64_t> labels;
  int64_t epoch = 0, index = 0;
  bool operator==(Global const&) const = default;
};

/// Loads `batches` batches with `ranks` ranks and returns the global batches.
std::vector<Global> gather(int64_t size, DataConfig const& config, int ranks, int batches,
                           Pass pass = Pass::training, int64_t epoch = 0, int64_t first = 0) {
  train::Split const split{"train", std::make_shared<Numbered>(size)};
  std::vector<Global> all(static_cast<size_t>(batches));
  for (int rank = 0; rank < ranks; ++rank) {
    Loader loader(host(), split, config, 7, pass, rank, ranks, epoch, first);
    for (Global& global : all) {
      Batch batch;
      REQUIRE(loader.next(batch));
      REQUIRE(batch.counts.size() == static_cast<size_t>(ranks));
      REQUIRE(batch.first_sample == static_cast<int64_t>(global.labels.size()));
      int64_t const rows = batch.counts[static_cast<size_t>(rank)];
      REQUIRE(batch.images.shape() == core::Shape{rows, 3, 3, 2});
      REQUIRE(batch.labels.shape() == core::Shape{rows});
      auto const* images = batch.images.data<float>();
      auto const* labels = batch.labels.data<int64_t>();
      global.images.insert(global.images.end(), images, images + batch.images.count());
      global.labels.insert(global.labels.end(), labels, labels + rows);
      global.epoch = batch.epoch, global.index = batch.index;
    }
  }
  return all;
}

std::vector<int64_t> labels_of(std::vector<Global> const& batches) {
  std::vector<int64_t> labels;
  for (Global const& batch : batches)
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
  return labels;
}

std::vector<int64_t> up_to(int64_t size) {
  std::vector<int64_t> numbers(static_cast<size_t>(size));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

TEST_CASE("loader: any number of ranks and threads -> bitwise identical global batches") {
  // 31 images in batches of 8: the fourth has 7. Nine batches cross two epoch boundaries.
  std::vector<Global> const alone = gather(31, changing(8, 1), 1, 9);
  CHECK(alone[3].labels.size() == 7);
  CHECK(alone[3].index == 3);
  CHECK(alone[4].epoch == 1);
  CHECK(alone[4].index == 0);
  for (int const ranks : {1, 2, 3})
    for (int const threads : {1, 3}) CHECK(gather(31, changing(8, threads), ranks, 9) == alone);
}

TEST_CASE("loader: start at any batch -> same batches as an uninterrupted run") {
  std::vector<Global> const whole = gather(31, changing(8, 1), 1, 9);
  for (int64_t done = 0; done < 9; ++done) {
    int const left = static_cast<int>(9 - done);
    std::vector<Global> const rest =
        gather(31, changing(8, 2), 2, left, Pass::training, done / 4, done % 4);
    CHECK(rest == std::vector(whole.begin() + done, whole.end()));
  }
}

TEST_CASE("loader: epoch -> every sample once, in a different order each epoch") {
  std::vector<int64_t> const three = labels_of(gather(257, config(31, 2), 1, 27));
  std::vector<std::vector<int64_t>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch)
    epochs.emplace_back(three.begin() + epoch * 257, three.begin() + (epoch + 1) * 257);
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[1] != epochs[2]);
  for (std::vector<int64_t>& epoch : epochs) {
    CHECK(epoch != up_to(257));
    std::sort(epoch.begin(), epoch.end());
    CHECK(epoch == up_to(257));
  }
}

TEST_CASE("loader: shuffling of four samples -> all orders equally likely") {
  std::map<std::vector<int64_t>, int> orders;
  for (Global const& batch : gather(4, config(4), 1, 2400)) ++orders[batch.labels];
  CHECK(orders.size() == 24);
  for (auto const& [order, times] : orders)
    CHECK(times == Approx(100).margin(45));  // 4.6 standard deviations
}

TEST_CASE("loader: shuffle = false -> order of the data set") {
  DataConfig plain = config(4);
  plain.shuffle = false;
  CHECK(labels_of(gather(7, plain, 3, 2)) == up_to(7));
}

TEST_CASE("loader: same sample in different epochs -> different augmentation") {
  DataConfig noisy = config(1);
  noisy.augment.noise_std = 0.5;
  std::vector<Global> const epochs = gather(1, noisy, 1, 3);
  CHECK(epochs[0].images != epochs[1].images);
  CHECK(epochs[1].images != epochs[2].images);
}

TEST_CASE("loader: mean and std per channel -> normalized pixels") {
  DataConfig normal = config(2);
  normal.mean = {0.5, 0.25};
  normal.std = {0.5, 2.0};
  std::vector<Global> const batch = gather(2, normal, 1, 1, Pass::evaluation);
  for (size_t i = 0; i < 18; i += 2) {
    CHECK(batch[0].images[18 + i] == (0.01f - 0.5f) / 0.5f);
    CHECK(batch[0].images[18 + i + 1] == (0.01f - 0.25f) / 2.0f);
  }
}

TEST_CASE("loader: Pass::evaluation -> one epoch in order, not augmented; ranks may be empty") {
  train::Split const split{"test", std::make_shared<Numbered>(5)};
  DataConfig all = changing(4, 2);
  all.mean = {0}, all.std = {1};
  for (int rank = 0; rank < 3; ++rank) {
    Loader loader(host(), split, all, 7, Pass::evaluation, rank, 3);
    CHECK(loader.batches_per_epoch() == 2);
    Batch batch;
    REQUIRE(loader.next(batch));
    CHECK(batch.counts == comm::Counts{2, 1, 1});
    int64_t const label = batch.labels.data<int64_t>()[0];
    CHECK(label == std::array{0, 2, 3}[static_cast<size_t>(rank)]);
    CHECK(batch.images.data<float>()[17] == static_cast<float>(label) / 100);
    REQUIRE(loader.next(batch));
    CHECK(batch.counts == comm::Counts{1, 0, 0});
    CHECK(batch.images.shape() == core::Shape{rank == 0, 3, 3, 2});
    CHECK(batch.labels.shape() == core::Shape{rank == 0});
    CHECK_FALSE(loader.next(batch));
    CHECK_FALSE(loader.next(batch));
  }
}

TEST_CASE("loader: empty data set -> no batch in evaluation, core::Error in training") {
  train::Split const split{"none", std::make_shared<Numbered>(0)};
  Loader loader(host(), split, config(4), 7, Pass::evaluation, 0, 1);
  Batch batch;
  CHECK_FALSE(loader.next(batch));
  CHECK_THROWS_AS(Loader(host(), split, config(4), 7, Pass::training, 0, 1), core::Error);
}

TEST_CASE("loader: error on a worker thread -> rethrown by next, after the batches before it") {
  struct Broken : Numbered {
    using Numbered::Numbered;
    void read(int64_t index, float* pixels) const override {
      if (index == 5) throw train::BadData("image 5 is broken");
      Numbered::read(index, pixels);
    }
  };
  train::Split const split{"train", std::make_shared<Broken>(8)};
  DataConfig plain = config(2, 3);
  plain.shuffle = false;
  Loader loader(host(), split, plain, 7, Pass::training, 0, 1);
  Batch batch;
  CHECK(loader.next(batch));
  CHECK(loader.next(batch));
  CHECK(batch.labels.data<int64_t>()[1] == 3);
  CHECK_THROWS_AS(loader.next(batch), train::BadData);
  CHECK_THROWS_WITH(loader.next(batch), "image 5 is broken");
}

TEST_CASE("loader: prefetch_batches = n -> n batches ahead; destructor stops without delay") {
  struct Counting : Numbered {
    using Numbered::Numbered;
    void read(int64_t index, float* pixels) const override {
      ++reads;
      if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      Numbered::read(index, pixels);
    }
    mutable std::atomic<int> reads = 0;
    std::atomic<bool> slow = false;
  };
  auto const data = std::make_shared<Counting>(1000);
  train::Split const split{"train", data};
  {
    Loader loader(host(), split, config(5, 3), 7, Pass::training, 0, 1);
    Batch batch;
    REQUIRE(loader.next(batch));
    for (int i = 0; i < 500 && data->reads < 15; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(data->reads == 15);  // one batch fetched, two ahead
  }
  data->slow = true;
  auto const start = std::chrono::steady_clock::now();
  { Loader loader(host(), split, config(500, 3), 7, Pass::training, 0, 1); }
  // Reading the first batch to the end would take 10 s.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
}

TEST_CASE("loader: number of means differs from the channels -> ConfigError") {
  DataConfig wrong = config(2);
  wrong.mean = {0.1, 0.2, 0.3};
  train::Split const split{"train", std::make_shared<Numbered>(4)};
  CHECK_THROWS_AS(Loader(host(), split, wrong, 7, Pass::training, 0, 1), train::ConfigError);
}
