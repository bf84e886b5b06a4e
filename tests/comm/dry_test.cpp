#include "comm/dry.h"
#include <catch2/catch.hpp>
#include "comm/mesh.h"
#include "core/kernels.h"

using core::Dtype;
using core::Tensor;

namespace {

core::dry::Traits const traits{"nowhere", 1 << 20, false};

}  // namespace

TEST_CASE("dry-run communicator: wrong shapes -> throws", "[dry]") {
  core::dry::DryRunDevice device(traits);
  comm::DryRunCommunicator ranks(device, 3);
  CHECK(ranks.rank() == 0);
  CHECK(ranks.size() == 3);
  Tensor const mine(device, {2, 5}, Dtype::f32);
  Tensor all(device, {6, 5}, Dtype::f32), few(device, {4, 5}, Dtype::f32);
  ranks.all_gather(mine, {2, 3, 1}, all)->wait();
  CHECK_THROWS_AS(ranks.all_gather(mine, {2, 3, 1}, few), core::Error);
  CHECK_THROWS_AS(ranks.reduce_scatter(all, {1, 3, 2}, few), core::Error);
}

TEST_CASE("dry-run communicator: output of a collective -> recorded under its label", "[dry]") {
  core::dry::DryRunDevice device(traits);
  comm::DryRunCommunicator ranks(device, 2);
  device.enter("mine");
  Tensor const mine(device, {16}, Dtype::f32);
  Tensor all(device, {2, 16}, Dtype::f32), sum(device, {16}, Dtype::f32);
  ranks.named("features").all_gather(mine, all)->wait();
  ranks.named("sums").all_reduce(sum, comm::Reduce::sum)->wait();
  ranks.all_reduce(sum, comm::Reduce::sum)->wait();
  Tensor const last(device, {16}, Dtype::f32);
  CHECK(device.parts_at_peak() == core::dry::Parts{{"features", 128}, {"mine", 128}, {"sums", 64}});
}

TEST_CASE("dry-run communicator: mesh -> the given group sizes; one more split -> throws",
          "[dry]") {
  core::dry::DryRunDevice device(traits);
  comm::DryRunCommunicator ranks(device, 6, {2, 3});
  comm::Mesh mesh(ranks, 2);
  CHECK(mesh.shards().size() == 2);
  CHECK(mesh.replicas().size() == 3);
  CHECK_THROWS_AS(ranks.split(0), core::Error);
}

TEST_CASE("dry-run communicator: collectives -> bytes sent by rank 0, and where kernels wait",
          "[dry]") {
  core::dry::DryRunDevice device(traits);
  comm::DryRunCommunicator ranks(device, 4);
  Tensor mine(device, {2, 5}, Dtype::f32), all(device, {8, 5}, Dtype::f32);
  comm::Counts const counts{2, 3, 0, 3};
  {
    auto const gather = ranks.named("gather").all_gather(mine, counts, all);
    CHECK(gather->moved().sent == 3 * 40);
    device.kernels().fill(1, mine);
  }  // the destructor waits
  ranks.named("scatter").reduce_scatter(all, counts, mine)->wait();
  ranks.named("exchange").all_to_all(all, counts, all, counts)->wait();
  ranks.named("sum").all_reduce(all, comm::Reduce::sum)->wait();
  ranks.named("root").broadcast(mine, 0)->wait();
  ranks.named("leaf").broadcast(mine, 3)->wait();
  std::vector<std::pair<std::string, double>> found;
  for (auto const& [label, sent] : device.transfers()) found.emplace_back(label, sent);
  CHECK(found == std::vector<std::pair<std::string, double>>{{"gather", 120},
                                                             {"scatter", 120},
                                                             {"exchange", 120},
                                                             {"sum", 240},
                                                             {"root", 120},
                                                             {"leaf", 0}});
  auto const& stretches = device.stretches();
  REQUIRE(stretches.size() == 13);
  CHECK(stretches[0].starts == 0u);
  CHECK(stretches[1].waits == 0u);
  CHECK(stretches[1].work.size() == 1);
  CHECK(stretches[2].starts == 1u);
  CHECK(stretches[3].waits == 1u);
  CHECK(stretches[3].work.empty());
}
