#include "comm/mesh.h"
#include "comm/metered.h"
#include "comm/self.h"
#include "tests/comm/conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using Catch::Contains;
using comm::Mesh;
using comm::Reduce;
using core::Tensor;

namespace {

/// All divisors of the number of ranks.
std::vector<int> possible_shards() {
  std::vector<int> all;
  for (int shards = 1; shards <= tests::world().size(); ++shards)
    if (tests::world().size() % shards == 0) all.push_back(shards);
  return all;
}

Tensor number(double value) { return tests::tensor<double>(tests::device(), {1}, {value}); }

/// Bit mask of a group: bit r is set for rank r.
double bits_of(int first, int step, int count) {
  double bits = 0;
  for (int i = 0; i < count; ++i) bits += 1 << (first + i * step);
  return bits;
}

}  // namespace

TEST_CASE("mesh: row -> consecutive ranks; column -> ranks of the same shard", "[ranks][mesh]") {
  comm::Communicator& world = tests::world();
  int const size = world.size(), rank = world.rank();
  for (int const shards : possible_shards()) {
    INFO(shards << " shards");
    Mesh mesh(world, shards);
    CHECK(&mesh.world() == &world);
    CHECK(mesh.shards().size() == shards);
    CHECK(mesh.shards().rank() == rank % shards);
    CHECK(mesh.replicas().size() == size / shards);
    CHECK(mesh.replicas().rank() == rank / shards);
    // Membership: each rank contributes its own bit.
    Tensor row = number(1 << rank), column = number(1 << rank);
    mesh.shards().all_reduce(row, Reduce::sum)->wait();
    mesh.replicas().all_reduce(column, Reduce::sum)->wait();
    CHECK(tests::value(row) == bits_of(rank / shards * shards, 1, shards));
    CHECK(tests::value(column) == bits_of(rank % shards, shards, size / shards));
  }
}

TEST_CASE("mesh: rows and columns -> collectives are correct", "[ranks][mesh]") {
  for (int const shards : possible_shards()) {
    INFO(shards << " shards");
    Mesh mesh(tests::world(), shards);
    tests::check_communicator(mesh.shards(), tests::device());
    tests::check_communicator(mesh.replicas(), tests::device());
  }
}

TEST_CASE("mesh: collectives of rows, columns and world in flight -> all are correct",
          "[ranks][mesh]") {
  comm::Communicator& world = tests::world();
  int const rank = world.rank();
  for (int const shards : possible_shards()) {
    INFO(shards << " shards");
    Mesh mesh(world, shards);
    std::vector<Tensor> rows, columns, all;
    std::vector<comm::PendingPtr> pending;
    for (int turn = 0; turn < 4; ++turn) {
      Tensor const mine = number(100 * turn + rank);
      rows.push_back(Tensor(tests::device(), {shards, 1}, core::Dtype::f64));
      columns.push_back(number(100 * turn + rank));
      all.push_back(number(100 * turn + rank));
      pending.push_back(mesh.shards().all_gather(mine, rows.back()));
      pending.push_back(mesh.replicas().all_reduce(columns.back(), Reduce::max));
      pending.push_back(world.all_reduce(all.back(), Reduce::max));
    }
    while (!pending.empty()) {  // in reverse order
      pending.back()->wait();
      pending.pop_back();
    }
    for (int turn = 0; turn < 4; ++turn) {
      auto const t = static_cast<size_t>(turn);
      std::vector<double> neighbours;
      for (int s = 0; s < shards; ++s)
        neighbours.push_back(100 * turn + rank / shards * shards + s);
      CHECK(tests::values(rows[t]) == neighbours);
      CHECK(tests::value(columns[t]) == 100 * turn + world.size() - shards + rank % shards);
      CHECK(tests::value(all[t]) == 100 * turn + world.size() - 1);
    }
  }
}

TEST_CASE("mesh: sum over rows, then columns -> sum over all ranks", "[ranks][mesh]") {
  int const size = tests::world().size();
  for (int const shards : possible_shards()) {
    Mesh mesh(tests::world(), shards);
    Tensor t = number(tests::world().rank() + 1);
    mesh.shards().all_reduce(t, Reduce::sum)->wait();
    mesh.replicas().all_reduce(t, Reduce::sum)->wait();
    CHECK(tests::value(t) == size * (size + 1) / 2);
  }
}

TEST_CASE("mesh: one row or one column -> no new communicator", "[ranks][mesh]") {
  comm::Communicator& world = tests::world();
  for (int const shards : {0, world.size()}) {
    Mesh whole(world, shards);
    CHECK(&whole.shards() == &world);
    CHECK(dynamic_cast<comm::Self*>(&whole.replicas()) != nullptr);
  }
  if (world.size() == 1) return;
  Mesh replicated(world, 1);
  CHECK(&replicated.replicas() == &world);
  CHECK(dynamic_cast<comm::Self*>(&replicated.shards()) != nullptr);
}

TEST_CASE("mesh: shards do not divide the ranks -> every rank throws", "[ranks][mesh]") {
  comm::Communicator& world = tests::world();
  auto const size = std::to_string(world.size());
  CHECK_THROWS_WITH(
      Mesh(world, world.size() + 1),
      Contains("mesh: " + size + " ranks") && Contains("must divide the number of ranks: 1"));
  CHECK_THROWS_WITH(Mesh(world, -1), Contains("rows of -1 shards"));
  if (world.size() == 4)
    CHECK_THROWS_WITH(Mesh(world, 3), Contains("4 ranks in rows of 3 shards") &&
                                          Contains("1, 2, 4, or 0 for all ranks"));
  world.barrier();  // no rank is left in a split
}

TEST_CASE("mesh: made of metered ranks -> its groups are metered too", "[ranks][mesh]") {
  comm::Communicator& world = tests::world();
  if (world.size() != 4) return;
  comm::Traffic traffic;
  comm::Metered metered(world, traffic);
  Mesh mesh(metered, 2);
  Tensor t = number(world.rank());
  mesh.shards().named("rows").all_reduce(t, Reduce::sum)->wait();
  mesh.replicas().named("columns").all_reduce(t, Reduce::sum)->wait();
  REQUIRE(traffic.rows().size() == 2);
  CHECK(traffic.rows()[0].label == "rows");
  CHECK(traffic.rows()[1].label == "columns");
  for (auto const& row : traffic.rows()) {
    // In a group of two, one rank computes the sum. The other sends its number and receives the
    // sum.
    CHECK(row.calls == 1);
    CHECK(row.moved == comm::Moved{8, 8});
  }
}
