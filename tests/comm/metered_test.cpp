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

/// A fake collective that reports `moved`, or fails.
struct Pretended final : comm::Pending {
  Pretended(Moved const& moved, bool fails) : all(moved), fails(fails) {}
  void wait() override {
    core::check(!fails, "as configured by the test");
    waited = true;
  }
  Moved moved() const override { return waited ? all : Moved{}; }
  Moved all;
  bool fails, waited = false;
};

/// A group of one rank whose all_reduce is fake.
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

TEST_CASE("metered: one rank -> results unchanged, zero bytes") {
  comm::Self self;
  Traffic traffic;
  Metered metered(self, traffic, "test");
  tests::check_communicator(metered, tests::device());
  tests::check_communicator(metered.named("another"), tests::device());
  for (auto const& row : traffic.rows()) {
    CHECK(row.calls > 0);
    CHECK(row.moved == Moved{});  // one rank moves nothing
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

TEST_CASE("metered: wait, second wait, destructor -> counted once") {
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

TEST_CASE("metered: failed collective -> not counted") {
  Pretending ranks;
  ranks.fails = true;
  Traffic traffic;
  Metered metered(ranks, traffic);
  Tensor t = some();
  CHECK_THROWS_AS(metered.all_reduce(t, Reduce::sum)->wait(), core::Error);
  metered.all_reduce(t, Reduce::sum).reset();
  CHECK(traffic.rows().empty());
}

TEST_CASE("metered: named -> counted under the label") {
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
  CHECK(traffic.rows()[0].label == "first");  // in order of completion
  CHECK(traffic.rows()[1].label.empty());
  CHECK(traffic.find("first", Collective::all_reduce)->calls == 1);
  CHECK(traffic.find("kept", Collective::all_reduce)->calls == 2);
  CHECK(traffic.find("kept", Collective::all_reduce)->moved == Moved{6, 8});
  CHECK(traffic.find("kept", Collective::broadcast)->calls == 1);
  CHECK(traffic.find("never", Collective::all_reduce) == nullptr);
}

TEST_CASE("communicator: named without metering -> returns itself") {
  comm::Self self;
  CHECK(&self.named("features") == &self);
}

TEST_CASE("traffic: paused -> not counted; cleared -> empty") {
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
