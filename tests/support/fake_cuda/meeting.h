#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include "tests/support/fake_cuda/nccl_call.h"

namespace tests::fake_cuda {

constexpr int most_ranks = 8;

/// Memory that one rank writes and others read, piece by piece. The writer sends the next piece
/// when all readers have taken the last one. All zero at first.
struct Mailbox {
  static constexpr size_t capacity = size_t{256} << 10;

  Call call;      ///< call that the piece belongs to; its pointers are the writer's
  size_t offset;  ///< first element of the piece, for collectives
  alignas(64) std::array<std::byte, capacity> data;

  /// To be called by the writer, once `call`, `offset` and `data` are written.
  void send() { sent_.fetch_add(1, std::memory_order_release); }
  bool taken_by(int reader) const { return taken_[index(reader)].load() == sent_.load(); }
  bool has_piece_for(int reader) const {
    return sent_.load(std::memory_order_acquire) > taken_[index(reader)].load();
  }
  void take(int reader) { taken_[index(reader)].fetch_add(1); }

 private:
  static size_t index(int rank) { return static_cast<size_t>(rank); }

  std::atomic<uint64_t> sent_;
  std::array<std::atomic<uint64_t>, most_ranks> taken_;
};

/// Shared memory of the ranks of a communicator.
class Meeting {
 public:
  /// Name for a new meeting, unique on this host.
  static std::string new_name();

  /// Joins the meeting, which the first rank creates.
  /// Throws: std::system_error if there is no memory; std::invalid_argument if the ranks disagree
  /// on `size`, or two have the same rank.
  Meeting(std::string name, int rank, int size);
  ~Meeting();
  Meeting(Meeting const&) = delete;
  Meeting& operator=(Meeting const&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// True once all ranks have joined.
  bool complete() const;
  /// Removes the name. The memory lives until the last rank leaves.
  void close() const;
  /// Announces that this rank has done its part.
  void leave();
  /// True once all ranks have called `leave`.
  bool all_left() const;

  /// What `rank` sends to all ranks.
  Mailbox& of(int rank);
  /// What `from` sends to `to` alone.
  Mailbox& between(int from, int to);

 private:
  struct Memory;

  std::string name_;
  int rank_, size_;
  Memory* memory_;
};

}  // namespace tests::fake_cuda
