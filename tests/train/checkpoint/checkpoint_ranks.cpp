#include "tests/train/checkpoint/state.h"
#include "tests/train/shared_folder.h"
#include "train/checkpoint/folder.h"
#include "train/errors.h"

using Catch::Contains;
using tests::thrown;

namespace fs = std::filesystem;

namespace {

int rank() { return tests::world().rank(); }
int size() { return tests::world().size(); }
void meet() { tests::world().barrier(); }

/// This rank's share of seven classes, as the head splits them.
int64_t head_rows() { return comm::split_evenly(7, size())[static_cast<size_t>(rank())]; }

struct Run {
  tests::SharedFolder shared;
  fs::path folder = shared.path / "checkpoints";
  tests::CheckpointState state{tests::device(), rank(), head_rows()};
  std::vector<std::string> warnings;

  void save(int64_t step) {
    state.fill(step);
    train::Checkpoints(folder, tests::world(), 2).save(state.snapshot, {step, 0, 0});
  }
  std::optional<train::Position> load() {
    state.fill(-1);
    warnings.clear();
    return train::Checkpoints(folder, tests::world(), 2)
        .load(state.snapshot, [&](std::string const& text) { warnings.push_back(text); });
  }
  std::string shard(int64_t step, int of) const {
    return folder / train::step_name(step) /
           core::join("head-", of, "-of-", size(), ".safetensors");
  }
};

}  // namespace

TEST_CASE("gather_texts: texts of different lengths -> all texts on every rank", "[ranks]") {
  std::string const mine(static_cast<size_t>(3 * rank()), static_cast<char>('a' + rank()));
  auto const all = train::gather_texts(tests::world(), tests::device(), mine);
  CHECK(all.size() == static_cast<size_t>(size()));
  for (int r = 0; r < size(); ++r)
    CHECK(all[static_cast<size_t>(r)] ==
          std::string(static_cast<size_t>(3 * r), static_cast<char>('a' + r)));
}

TEST_CASE("on_all_ranks: error on one rank -> IoError with that rank on all", "[ranks]") {
  auto const at_last = [] {
    if (rank() == size() - 1) throw train::BadData("no good");
    return std::string("fine");
  };
  auto const all = train::rank_outcomes(tests::world(), tests::device(), at_last);
  CHECK(all.back().exit == train::Exit::bad_data);
  CHECK(all.back().text == "no good");
  if (size() > 1) CHECK(all.front().text == "fine");
  CHECK_THAT(thrown<train::IoError>(
                 [&] { train::on_all_ranks(tests::world(), tests::device(), at_last); }),
             Contains(core::join("rank ", size() - 1, ": no good")));
}

TEST_CASE("checkpoint: save and load on several ranks -> each rank's shard", "[ranks]") {
  Run run;
  run.save(1);
  run.save(2);
  run.save(3);
  auto const at = run.load();
  CHECK((at && *at == train::Position{3, 0, 0}));
  CHECK(run.state.holds(3));
  CHECK(train::Checkpoints(run.folder, tests::world(), 2).list().size() == 2);
  meet();
}

TEST_CASE("checkpoint: one shard damaged or missing -> all ranks load the previous one",
          "[ranks]") {
  Run run;
  for (int broken = 0; broken < size(); ++broken) {
    run.save(1);
    run.save(2);
    if (rank() == 0) {
      auto bytes = tests::read_file(run.shard(2, broken));
      bytes.back() = static_cast<char>(bytes.back() ^ 16);
      if (broken % 2 == 0) tests::write_file(run.shard(2, broken), bytes);
      if (broken % 2 == 1) fs::remove(run.shard(2, broken));
    }
    meet();
    auto const at = run.load();
    CHECK((at && at->step == 1));
    CHECK(run.state.holds(1));
    CHECK(run.warnings.size() == (rank() == 0 ? 1 : 0));
    if (rank() == 0)
      CHECK_THAT(run.warnings[0],
                 Contains(core::join("rank ", broken, ": ")) && Contains(run.shard(2, broken)));
    meet();
  }
}

TEST_CASE("checkpoint: different number of ranks -> ConfigError on all", "[ranks]") {
  Run run;
  run.save(1);
  auto const part = tests::world().split(rank() == size() - 1 ? 1 : 0);
  if (part->size() == size()) return;
  run.state.fill(-1);
  auto const text = thrown<train::ConfigError>(
      [&] { train::Checkpoints(run.folder, *part, 1).load(run.state.snapshot, {}); });
  CHECK_THAT(text, Contains(core::join("ranks ", size(), ", expected ", part->size())));
  CHECK(run.state.holds(-1));
}

TEST_CASE("checkpoint: shard does not match on one rank -> ConfigError, all states unchanged",
          "[ranks]") {
  Run run;
  run.save(1);
  if (rank() == size() - 1) run.state.snapshot.head[0].name = "head.other";
  auto const text = thrown<train::ConfigError>([&] { run.load(); });
  CHECK_THAT(text, Contains(core::join("rank ", size() - 1, ": ")) && Contains("'head.other'"));
  CHECK(run.state.holds(-1));
}

TEST_CASE("checkpoint: one rank cannot write -> IoError on all, old checkpoint is kept",
          "[ranks]") {
  Run run;
  run.save(1);
  auto& head = run.state.snapshot.head;
  auto const good = head;
  // Two tensors with the same name: an error on this rank only.
  if (rank() == size() - 1) head[1].name = head[0].name;
  auto const text = thrown<train::IoError>([&] { run.save(2); });
  CHECK_THAT(text, Contains(core::join("rank ", size() - 1, ": tensor declared twice")));
  head = good;
  auto const at = run.load();
  CHECK((at && at->step == 1));
  CHECK(run.state.holds(1));
  if (rank() == 0)
    CHECK(std::distance(fs::directory_iterator(run.folder), fs::directory_iterator()) == 1);
  meet();
  run.save(2);
  CHECK(run.load()->step == 2);
}

TEST_CASE("checkpoint: folder cannot be created -> IoError on all ranks", "[ranks]") {
  Run run;
  if (rank() == 0) tests::write_file(run.folder, "in the way");
  meet();
  CHECK_THAT(thrown<train::IoError>([&] { run.save(1); }),
             Contains("rank 0: ") && Contains(run.folder.string()));
}
