#include "comm/nccl/transfers.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using comm::Counts;
using comm::Moved;
using comm::Reduce;
using comm::Transfers;
using core::Dtype;
using core::Tensor;
using Kind = comm::Transfer::Kind;

namespace {

/// Rows of 3 elements: the data of one rank.
Tensor rows(int64_t count, Dtype dtype) { return {tests::host(), {count, 3}, dtype}; }

}  // namespace

TEST_CASE("all_reduce: any tensor -> one ncclAllReduce, in place, in its dtype") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::i32, Dtype::i64);
  auto const how = GENERATE(Reduce::sum, Reduce::max);
  Tensor t(tests::host(), {5, 7}, dtype);
  CHECK(comm::transfers_of_all_reduce(t, how) ==
        Transfers{{Kind::all_reduce, t.raw(), t.raw(), 35, dtype, 0, how}});
  CHECK(comm::transfers_of_all_reduce(Tensor(tests::host(), {0}, dtype), how).empty());
}

TEST_CASE("broadcast: any dtype -> one ncclBroadcast of bytes") {
  Tensor t(tests::host(), {5}, Dtype::bf16);
  CHECK(comm::transfers_of_broadcast(t, 2) ==
        Transfers{{Kind::broadcast, t.raw(), t.raw(), 10, Dtype::u8, 2}});
  CHECK(comm::transfers_of_broadcast(Tensor(tests::host(), {0, 4}, Dtype::f32), 0).empty());
}

TEST_CASE("all_gather: equal counts -> one ncclAllGather of bytes") {
  Tensor mine = rows(2, Dtype::f64), all = rows(6, Dtype::f64);
  CHECK(comm::transfers_of_all_gather(1, mine, {2, 2, 2}, all) ==
        Transfers{{Kind::all_gather, mine.raw(), all.raw(), 48, Dtype::u8}});
}

TEST_CASE("all_gather: uneven counts -> one broadcast per non-empty rank") {
  Tensor mine = rows(1, Dtype::i32), all = rows(4, Dtype::i32);
  std::byte* const at = all.raw();
  CHECK(comm::transfers_of_all_gather(2, mine, {3, 0, 1}, all) ==
        Transfers{{Kind::broadcast, nullptr, at, 36, Dtype::u8, 0},
                  {Kind::broadcast, mine.raw(), at + 36, 12, Dtype::u8, 2}});
  Tensor const none = rows(0, Dtype::i32);
  CHECK(comm::transfers_of_all_gather(1, none, {3, 0, 1}, all) ==
        Transfers{{Kind::broadcast, nullptr, at, 36, Dtype::u8, 0},
                  {Kind::broadcast, nullptr, at + 36, 12, Dtype::u8, 2}});
}

TEST_CASE("reduce_scatter: equal counts -> one ncclReduceScatter") {
  Tensor all = rows(4, Dtype::f32), mine = rows(2, Dtype::f32);
  CHECK(comm::transfers_of_reduce_scatter(0, all, {2, 2}, mine) ==
        Transfers{{Kind::reduce_scatter, all.raw(), mine.raw(), 6, Dtype::f32}});
}

TEST_CASE("reduce_scatter: uneven counts -> one reduce per non-empty rank") {
  Tensor all = rows(4, Dtype::f64), mine = rows(3, Dtype::f64);
  std::byte* const at = all.raw();
  CHECK(comm::transfers_of_reduce_scatter(1, all, {1, 3, 0}, mine) ==
        Transfers{{Kind::reduce, at, nullptr, 3, Dtype::f64, 0},
                  {Kind::reduce, at + 24, mine.raw(), 9, Dtype::f64, 1}});
}

TEST_CASE("all_to_all: counts -> one send and one receive per rank with rows to exchange") {
  Tensor out = rows(3, Dtype::u8), in = rows(2, Dtype::u8);
  CHECK(comm::transfers_of_all_to_all(out, {1, 0, 2}, in, {1, 1, 0}) ==
        Transfers{{Kind::send, out.raw(), nullptr, 3, Dtype::u8, 0},
                  {Kind::receive, nullptr, in.raw(), 3, Dtype::u8, 0},
                  {Kind::receive, nullptr, in.raw() + 3, 3, Dtype::u8, 1},
                  {Kind::send, out.raw() + 3, nullptr, 6, Dtype::u8, 2}});
}

TEST_CASE("transfers: no rows on any rank -> no NCCL call") {
  Counts const none(3, 0);
  Tensor const t = rows(0, Dtype::f32);
  CHECK(comm::transfers_of_all_gather(0, t, none, t).empty());
  CHECK(comm::transfers_of_reduce_scatter(0, t, none, t).empty());
  CHECK(comm::transfers_of_all_to_all(t, none, t, none).empty());
}

TEST_CASE("moved_by: each kind of transfer -> bytes per rank") {
  auto const moved = [](Kind kind, int peer, int rank) {
    return comm::moved_by({{kind, nullptr, nullptr, 10, Dtype::f32, peer}}, rank, 4);
  };
  // 10 elements of 4 bytes; 3 other ranks.
  CHECK(moved(Kind::all_gather, 0, 1) == Moved{120, 120});
  CHECK(moved(Kind::reduce_scatter, 0, 1) == Moved{120, 120});
  // Parts of 3, 3, 2 and 2: rank 0 sends 7 terms and its 3 sums to each, rank 3 sends 8 and 2.
  CHECK(moved(Kind::all_reduce, 0, 0) == Moved{28 + 36, 28 + 36});
  CHECK(moved(Kind::all_reduce, 0, 3) == Moved{32 + 24, 32 + 24});
  CHECK(moved(Kind::broadcast, 2, 2) == Moved{120, 0});
  CHECK(moved(Kind::broadcast, 2, 1) == Moved{0, 40});
  CHECK(moved(Kind::reduce, 2, 2) == Moved{0, 120});
  CHECK(moved(Kind::reduce, 2, 1) == Moved{40, 0});
  CHECK(moved(Kind::send, 2, 1) == Moved{40, 0});
  CHECK(moved(Kind::send, 1, 1) == Moved{});
  CHECK(moved(Kind::receive, 2, 1) == Moved{0, 40});
  CHECK(moved(Kind::receive, 1, 1) == Moved{});
}

TEST_CASE("moved_by: several transfers -> sum; one rank -> zero") {
  Transfers const two{{Kind::broadcast, nullptr, nullptr, 36, Dtype::u8, 0},
                      {Kind::broadcast, nullptr, nullptr, 12, Dtype::u8, 2}};
  CHECK(comm::moved_by(two, 2, 3) == Moved{24, 36});
  CHECK(comm::moved_by({}, 2, 3) == Moved{});
  for (auto const kind : {Kind::all_reduce, Kind::all_gather, Kind::reduce_scatter, Kind::broadcast,
                          Kind::reduce, Kind::send, Kind::receive})
    CHECK(comm::moved_by({{kind, nullptr, nullptr, 10, Dtype::f32, 0}}, 0, 1) == Moved{});
}
