#include "comm/nccl/transfers.h"
#include <algorithm>
#include "comm/blocks.h"

namespace comm {
namespace {

using Kind = Transfer::Kind;
constexpr auto bytes = core::Dtype::u8;

bool all_equal(Counts const& counts) {
  return std::all_of(counts.begin(), counts.end(), [&](int64_t n) { return n == counts.front(); });
}

/// Removes the transfers that move nothing.
Transfers some_of(Transfers transfers) {
  std::erase_if(transfers, [](Transfer const& t) { return t.count == 0; });
  return transfers;
}

/// See the declaration of moved_by(Transfers) in the header.
Moved moved_by(Transfer const& t, int rank, int size) {
  auto const count = static_cast<int64_t>(t.count);
  auto const width = static_cast<int64_t>(size_of(t.dtype));
  int64_t const part = count * width, others = size - 1;
  switch (t.kind) {
    case Kind::all_reduce: {
      int64_t const own = split_evenly(count, size)[static_cast<size_t>(rank)] * width;
      int64_t const both = part - own + others * own;
      return {both, both};
    }
    case Kind::all_gather:
    case Kind::reduce_scatter:
      return {others * part, others * part};
    case Kind::broadcast:
      return rank == t.peer ? Moved{others * part, 0} : Moved{0, part};
    case Kind::reduce:
      return rank == t.peer ? Moved{0, others * part} : Moved{part, 0};
    case Kind::send:
      return {rank == t.peer ? 0 : part, 0};
    case Kind::receive:
      return {0, rank == t.peer ? 0 : part};
  }
  core::fail("unknown kind of transfer");
}

}  // namespace

Transfers transfers_of_all_reduce(core::Tensor t, Reduce how) {
  auto const count = static_cast<size_t>(t.count());
  return some_of({{Kind::all_reduce, t.raw(), t.raw(), count, t.dtype(), 0, how}});
}

Transfers transfers_of_all_gather(int rank, core::Tensor const& mine, Counts const& counts,
                                  core::Tensor const& all) {
  auto const parts = blocks_of(all, counts);
  if (all_equal(counts))
    return some_of({{Kind::all_gather, mine.raw(), parts[0].data, mine.bytes(), bytes}});
  Transfers transfers;
  for (int root = 0; root < static_cast<int>(parts.size()); ++root) {
    auto const [data, size] = parts[static_cast<size_t>(root)];
    transfers.push_back(
        {Kind::broadcast, root == rank ? mine.raw() : nullptr, data, size, bytes, root});
  }
  return some_of(std::move(transfers));
}

Transfers transfers_of_reduce_scatter(int rank, core::Tensor const& all, Counts const& counts,
                                      core::Tensor mine) {
  auto const parts = blocks_of(all, counts);
  auto const count = static_cast<size_t>(mine.count());
  if (all_equal(counts))
    return some_of({{Kind::reduce_scatter, all.raw(), mine.raw(), count, all.dtype()}});
  Transfers transfers;
  for (int root = 0; root < static_cast<int>(parts.size()); ++root) {
    auto const [data, size] = parts[static_cast<size_t>(root)];
    transfers.push_back({Kind::reduce, data, root == rank ? mine.raw() : nullptr,
                         size / size_of(all.dtype()), all.dtype(), root});
  }
  return some_of(std::move(transfers));
}

Transfers transfers_of_all_to_all(core::Tensor const& out, Counts const& send,
                                  core::Tensor const& in, Counts const& receive) {
  auto const from = blocks_of(out, send), to = blocks_of(in, receive);
  Transfers transfers;
  for (size_t peer = 0; peer < from.size(); ++peer) {
    auto const number = static_cast<int>(peer);
    transfers.push_back({Kind::send, from[peer].data, nullptr, from[peer].bytes, bytes, number});
    transfers.push_back({Kind::receive, nullptr, to[peer].data, to[peer].bytes, bytes, number});
  }
  return some_of(std::move(transfers));
}

Transfers transfers_of_broadcast(core::Tensor t, int root) {
  return some_of({{Kind::broadcast, t.raw(), t.raw(), t.bytes(), bytes, root}});
}

Moved moved_by(Transfers const& transfers, int rank, int size) {
  Moved sum;
  for (Transfer const& t : transfers) sum += moved_by(t, rank, size);
  return sum;
}

}  // namespace comm
