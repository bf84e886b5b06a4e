#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace train {

/// The key that a word of another trainer means here: "optimizer.lr" for PyTorch's and timm's
/// "learning_rate", "model.trunk" for insightface's "network"; "" for an unknown word. A word that
/// is a key of exactly one section here stands for that key: "epochs" for "run.epochs".
std::string key_meant_by(std::string_view word);

/// The words of PyTorch, insightface, timm and Lightning that have another name here, each with the
/// key here.
std::vector<std::pair<std::string_view, std::string_view>> const& foreign_keys();

}  // namespace train
