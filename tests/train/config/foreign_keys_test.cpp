#include "train/config/foreign_keys.h"
#include <catch2/catch.hpp>
#include "tests/train/config/experiments.h"

namespace train {
namespace {

using tests::mistakes;

TEST_CASE("foreign keys: names from other trainers -> the key as a suggestion", "[foreign_keys]") {
  auto const meant = [](std::string const& word) {
    auto const message = mistakes({word + "=1"});
    auto const quote = message.find("did you mean '");
    if (quote == std::string::npos) return std::string();
    auto const begin = quote + 14;
    return message.substr(begin, message.find('\'', begin) - begin);
  };
  CHECK(meant("learning_rate") == "optimizer.lr");
  CHECK(meant("optimizer.learning_rate") == "optimizer.lr");
  CHECK(meant("lr") == "optimizer.lr");
  CHECK(meant("batch_size") == "data.global_batch_size");
  CHECK(meant("data.batch_size") == "data.global_batch_size");
  CHECK(meant("num_workers") == "data.workers");
  CHECK(meant("wd") == "optimizer.weight_decay");
  CHECK(meant("embedding_size") == "model.features");
  CHECK(meant("model.backbone") == "model.trunk");
  CHECK(meant("network") == "model.trunk");
  CHECK(meant("epochs") == "run.epochs");
  CHECK(meant("max_epochs") == "run.epochs");
  CHECK(meant("sample_rate") == "head.sampling.rate");
  CHECK(meant("gradient_clip_val") == "optimizer.max_grad_norm");
  CHECK(meant("optimizer.weight_decai") == "weight_decay");
  CHECK(meant("kind").empty());  // data, head, optimizer and schedule have one each
}

TEST_CASE("foreign keys: every listed name -> an existing key", "[foreign_keys]") {
  for (auto const& [word, key] : foreign_keys()) {
    INFO(word);
    CHECK(key_meant_by(word) == key);
    auto const last = std::string(key.substr(key.rfind('.') + 1));
    CHECK(to_yaml({}).find(last + ":") != std::string::npos);
    CHECK(mistakes({std::string(key) + "=[["}).find("unknown key") == std::string::npos);
  }
}

}  // namespace
}  // namespace train
