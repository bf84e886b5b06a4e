#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace train {

/// Returns the key that corresponds to a name from another trainer: "optimizer.lr" for
/// "learning_rate" (PyTorch, timm), "model.trunk" for "network" (insightface). A name that is a key
/// of exactly one section is completed: "epochs" to "run.epochs". Returns "" for an unknown name.
std::string key_meant_by(std::string_view word);

/// Names in PyTorch, insightface, timm and Lightning that differ from the key here, each with that
/// key.
std::vector<std::pair<std::string_view, std::string_view>> const& foreign_keys();

}  // namespace train
