#pragma once
#include "train/config/experiment.h"
#include "train/errors.h"

namespace tests {

/// A short valid experiment.
inline std::string const good =
    "run: {epochs: 1}\ndata: {global_batch_size: 4, classes: 10, samples: 100}\n";

inline train::Experiment parse(std::vector<std::string> const& settings,
                               std::string const& text = good) {
  return train::parse_experiment("a/fig.yaml", text, settings);
}

inline std::string mistakes(std::vector<std::string> const& settings,
                            std::string const& text = good) {
  try {
    parse(settings, text);
  } catch (train::ConfigError const& error) {
    return error.what();
  }
  return "";
}

}  // namespace tests
