#include "tests/support/fake_cuda/nccl_exchange.h"
#include <algorithm>
#include <cstring>
#include <type_traits>
#include "core/dtype.h"

namespace tests::fake_cuda {
namespace {

template <class T>
void fold(std::byte const* from, std::byte* to, size_t count, ncclRedOp_t how) {
  using Wide = std::conditional_t<std::is_same_v<T, core::bf16>, float, T>;
  auto const* const x = reinterpret_cast<T const*>(from);
  auto* const y = reinterpret_cast<T*>(to);
  for (size_t i = 0; i < count; ++i) {
    Wide const a = y[i], b = x[i];
    y[i] = static_cast<T>(how == ncclSum ? static_cast<Wide>(a + b) : std::max(a, b));
  }
}

/// Folds `count` elements of `from` into `to`.
void fold(Call const& call, std::byte const* from, std::byte* to, size_t count) {
  switch (call.type) {
    case ncclFloat32:
      return fold<float>(from, to, count, call.how);
    case ncclFloat64:
      return fold<double>(from, to, count, call.how);
    case ncclInt32:
      return fold<int32_t>(from, to, count, call.how);
    case ncclInt64:
      return fold<int64_t>(from, to, count, call.how);
    case ncclBfloat16:
      return fold<core::bf16>(from, to, count, call.how);
    default:
      return fold<uint8_t>(from, to, count, call.how);
  }
}

/// A piece of a collective: `bytes` bytes, from byte `offset` of the buffer or of each block.
struct Piece {
  Call const& call;
  Meeting& meeting;
  size_t offset, bytes;

  size_t block(int rank) const { return static_cast<size_t>(rank) * call.bytes() + offset; }
  size_t packed(int rank) const { return static_cast<size_t>(rank) * bytes; }

  /// Copies what this rank contributes into its mailbox.
  void contribute() const {
    auto* const data = meeting.of(meeting.rank()).data.data();
    if (call.kind == Kind::reduce_scatter) {
      for (int r = 0; r < meeting.size(); ++r)
        std::memcpy(data + packed(r), call.from + block(r), bytes);
    } else if (call.read(meeting.rank(), meeting.size()) > 0) {
      std::memcpy(data, call.from + offset, bytes);
    }
  }

  /// Writes the fold over all ranks of what lies at byte `at` of their mailboxes.
  void reduce(size_t at) const {
    auto* const to = call.to + offset;
    std::memcpy(to, meeting.of(0).data.data() + at, bytes);
    for (int r = 1; r < meeting.size(); ++r)
      fold(call, meeting.of(r).data.data() + at, to, bytes / width_of(call.type));
  }

  /// Computes this rank's output from all mailboxes.
  void combine() const {
    if (call.kind == Kind::all_gather) {
      for (int r = 0; r < meeting.size(); ++r)
        std::memcpy(call.to + block(r), meeting.of(r).data.data(), bytes);
    } else if (call.kind == Kind::broadcast) {
      std::memcpy(call.to + offset, meeting.of(call.peer).data.data(), bytes);
    } else if (call.kind == Kind::reduce_scatter) {
      reduce(packed(meeting.rank()));
    } else if (call.written(meeting.rank(), meeting.size()) > 0) {
      reduce(0);
    }
  }
};

[[noreturn]] void disagree(int rank, Call const& call, int other, Call const& theirs) {
  throw Disagreement("rank " + std::to_string(rank) + " calls " + call.describe() + ", rank " +
                     std::to_string(other) + " " + theirs.describe());
}

}  // namespace

Exchange::Exchange(std::vector<Call> const& calls, Meeting& meeting)
    : meeting_(meeting), lanes_(1 + 2 * static_cast<size_t>(meeting.size())) {
  for (Call const& call : calls) {
    auto const peer = static_cast<size_t>(call.peer);
    size_t const lane = !call.point_to_point() ? 0 : 1 + 2 * peer + (call.kind == Kind::send);
    lanes_[lane].calls.push_back(call);
  }
}

bool Exchange::advance() {
  bool done = true;
  for (bool moved = true; moved;) {
    moved = false;
    done = true;
    for (Lane& lane : lanes_) {
      while (!lane.calls.empty() && step(lane)) moved = true;
      done = done && lane.calls.empty();
    }
  }
  return done;
}

bool Exchange::step(Lane& lane) {
  switch (lane.calls.front().kind) {
    case Kind::send:
      return send(lane);
    case Kind::receive:
      return receive(lane);
    default:
      return collective(lane);
  }
}

size_t Exchange::piece(Lane const& lane, int blocks) {
  Call const& call = lane.calls.front();
  size_t const most = Mailbox::capacity / (width_of(call.type) * static_cast<size_t>(blocks));
  return std::min(call.count - lane.offset, most);
}

void Exchange::pass(Lane& lane, size_t elements) {
  lane.offset += elements;
  lane.sent = false;
  if (lane.offset < lane.calls.front().count) return;
  lane.calls.pop_front();
  lane.offset = 0;
}

bool Exchange::collective(Lane& lane) {
  Call const& call = lane.calls.front();
  int const rank = meeting_.rank(), size = meeting_.size();
  size_t const count = piece(lane, call.kind == Kind::reduce_scatter ? size : 1);
  size_t const width = width_of(call.type);
  Piece const piece{call, meeting_, lane.offset * width, count * width};
  if (!lane.sent) {
    Mailbox& mine = meeting_.of(rank);
    for (int r = 0; r < size; ++r)
      if (!mine.taken_by(r)) return false;
    mine.call = call;
    mine.offset = lane.offset;
    piece.contribute();
    mine.send();
    lane.sent = true;
  }
  if (!received(lane)) return false;
  piece.combine();
  for (int r = 0; r < size; ++r) meeting_.of(r).take(rank);
  pass(lane, count);
  return true;
}

bool Exchange::received(Lane const& lane) {
  int const rank = meeting_.rank();
  bool all = true;
  for (int r = 0; r < meeting_.size(); ++r) {
    Mailbox const& theirs = meeting_.of(r);
    bool const there = theirs.has_piece_for(rank);
    if (there && !(agree(lane.calls.front(), theirs.call) && theirs.offset == lane.offset))
      disagree(rank, lane.calls.front(), r, theirs.call);
    all = all && there;
  }
  return all;
}

bool Exchange::send(Lane& lane) {
  Call const& call = lane.calls.front();
  Mailbox& box = meeting_.between(meeting_.rank(), call.peer);
  if (!box.taken_by(call.peer)) return false;
  size_t const count = piece(lane, 1), width = width_of(call.type);
  box.call = call;
  if (count > 0) std::memcpy(box.data.data(), call.from + lane.offset * width, count * width);
  box.send();
  pass(lane, count);
  return true;
}

bool Exchange::receive(Lane& lane) {
  Call const& call = lane.calls.front();
  Mailbox& box = meeting_.between(call.peer, meeting_.rank());
  if (!box.has_piece_for(meeting_.rank())) return false;
  size_t const count = piece(lane, 1), width = width_of(call.type);
  if (box.call.bytes() != call.bytes()) disagree(meeting_.rank(), call, call.peer, box.call);
  if (count > 0) std::memcpy(call.to + lane.offset * width, box.data.data(), count * width);
  box.take(meeting_.rank());
  pass(lane, count);
  return true;
}

}  // namespace tests::fake_cuda
