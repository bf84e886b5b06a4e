#include "comm/metered.h"
#include "comm/self.h"
#include "tests/comm/conformance.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using comm::Collective;
using comm::Metered;
using comm::Moved;
using comm::Reduce;
using comm::Traffic;
using core::Tensor;

namespace {

/// A collective that moves what it is told to, or fails.
struct Pretended final : comm::Pending {
  Pretended(Moved const& moved, bool fails) : all(moved), fails(fails) {}
  void wait() override {
    core::check(!fails, "as it was told to");
    waited = true;
  }
  Moved moved() const override { return waited ? all : Moved{}; }
  Moved all;
  bool fails, waited = false;
};

/// A rank alone whose all-reduces pretend.
struct Pretending final : comm::Communicator {
  int rank() const override { return self.rank(); }
  int size() const override { return self.size(); }
  comm::PendingPtr all_reduce(Tensor&, Reduce) override {
    return std::make_unique<Pretended>(moved, fails);
  }
  comm::PendingPtr all_gather(Tensor const& mine, comm::Counts const& n, Tensor& all) override {
    return self.all_gather(mine, n, all);
  }
  comm::PendingPtr reduce_scatter(Tensor const& all, comm::Counts const& n, Tensor& mine) override {
    return self.reduce_scatter(all, n, mine);
  }
  comm::PendingPtr all_to_all(Tensor const& out, comm::Counts const& send, Tensor& in,
                              comm::Counts const& receive) override {
    return self.all_to_all(out, send, in, receive);
  }
  comm::PendingPtr broadcast(Tensor& t, int root) override { return self.broadcast(t, root); }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { return nullptr; }

  comm::Self self;
  Moved moved{3, 4};
  bool fails = false;
};

Tensor some() { return tests::tensor<float>(tests::host(), {2}, {1, 2}); }

}  // namespace

TEST_CASE("counting changes no result") {
  comm::Self self;
  Traffic traffic;
  Metered metered(self, traffic, "test");
  tests::check_communicator(metered, tests::device());
  tests::check_communicator(metered.named("another"), tests::device());
  for (auto const& row : traffic.rows()) {
    CHECK(row.calls > 0);
    CHECK(row.moved == Moved{});  // a rank alone
  }
  for (auto const* label : {"test", "another"})
    for (auto const what :
         {Collective::all_reduce, Collective::all_gather, Collective::reduce_scatter,
          Collective::all_to_all, Collective::broadcast}) {
      INFO(label << ' ' << what);
      CHECK(traffic.find(label, what) != nullptr);
    }
  CHECK(traffic.find("test", Collective::barrier) == nullptr);
  CHECK(traffic.find("", Collective::all_reduce) == nullptr);
}

TEST_CASE("a collective is counted once, when it has been waited for or dropped") {
  Pretending ranks;
  Traffic traffic;
  Metered metered(ranks, traffic);
  Tensor t = some();
  {
    auto const first = metered.all_reduce(t, Reduce::sum);
    CHECK(traffic.rows().empty());
    first->wait();
    first->wait();
    CHECK(first->moved() == Moved{3, 4});
    REQUIRE(traffic.rows().size() == 1);
    CHECK(traffic.rows()[0].calls == 1);
    CHECK(traffic.rows()[0].moved == Moved{3, 4});
    ranks.moved = {10, 20};
    auto const second = metered.all_reduce(t, Reduce::sum);
  }
  REQUIRE(traffic.rows().size() == 1);
  CHECK(traffic.rows()[0].calls == 2);
  CHECK(traffic.rows()[0].moved == Moved{13, 24});
}

TEST_CASE("a collective that fails is not counted") {
  Pretending ranks;
  ranks.fails = true;
  Traffic traffic;
  Metered metered(ranks, traffic);
  Tensor t = some();
  CHECK_THROWS_AS(metered.all_reduce(t, Reduce::sum)->wait(), core::Error);
  metered.all_reduce(t, Reduce::sum).reset();
  CHECK(traffic.rows().empty());
}

TEST_CASE("collectives are counted under the name they are asked for") {
  Pretending ranks;
  Traffic traffic;
  Metered metered(ranks, traffic);
  Tensor t = some();
  comm::Communicator& kept = metered.named("kept");
  metered.named("first").all_reduce(t, Reduce::sum)->wait();
  metered.all_reduce(t, Reduce::sum)->wait();
  for (int i = 0; i < 2; ++i) kept.all_reduce(t, Reduce::sum)->wait();
  kept.broadcast(t, 0)->wait();
  CHECK(&metered.named("kept") == &kept);
  REQUIRE(traffic.rows().size() == 4);
  CHECK(traffic.rows()[0].label == "first");  // in the order in which they came
  CHECK(traffic.rows()[1].label.empty());
  CHECK(traffic.find("first", Collective::all_reduce)->calls == 1);
  CHECK(traffic.find("kept", Collective::all_reduce)->calls == 2);
  CHECK(traffic.find("kept", Collective::all_reduce)->moved == Moved{6, 8});
  CHECK(traffic.find("kept", Collective::broadcast)->calls == 1);
  CHECK(traffic.find("never", Collective::all_reduce) == nullptr);
}

TEST_CASE("a name changes nothing where nobody counts") {
  comm::Self self;
  CHECK(&self.named("features") == &self);
}

TEST_CASE("what is paused is not counted, what is cleared is forgotten") {
  Traffic traffic;
  traffic.add("a", Collective::broadcast, {1, 2});
  traffic.pause();
  traffic.add("a", Collective::broadcast, {1, 2});
  traffic.add("b", Collective::broadcast, {1, 2});
  REQUIRE(traffic.rows().size() == 1);
  CHECK(traffic.rows()[0].moved == Moved{1, 2});
  traffic.go_on();
  traffic.add("b", Collective::broadcast, {5, 6});
  REQUIRE(traffic.rows().size() == 2);
  traffic.clear();
  CHECK(traffic.rows().empty());
  traffic.add("b", Collective::broadcast, {7, 8});
  CHECK(traffic.find("b", Collective::broadcast)->moved == Moved{7, 8});
}
