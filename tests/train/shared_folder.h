#pragma once
#include <optional>
#include "tests/support/ranks.h"
#include "tests/train/files.h"
#include "train/checkpoint/on_all_ranks.h"

namespace tests {

/// Temporary folder shared by all ranks. Rank 0 removes it once all ranks have left the scope.
class SharedFolder {
 public:
  SharedFolder() {
    if (world().rank() == 0) mine_.emplace();
    path = train::gather_texts(world(), device(), mine_ ? mine_->path().string() : "")[0];
  }
  ~SharedFolder() { world().barrier(); }
  SharedFolder(SharedFolder const&) = delete;
  SharedFolder& operator=(SharedFolder const&) = delete;

  std::filesystem::path path;

 private:
  std::optional<TemporaryFolder> mine_;
};

}  // namespace tests
