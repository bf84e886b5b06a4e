#include "comm/mpi/communicator.h"
#include <algorithm>
#include <cstring>
#include "comm/arguments.h"
#include "comm/mpi/reduce.h"
#include "core/cpu/device.h"

namespace comm {
namespace {

/// Sends one message to every other rank and receives one from each. Each rank starts with a
/// different peer, which spreads the load.
void exchange(Operation& operation, int rank, std::vector<Block> const& out,
              std::vector<Block> const& in) {
  int const size = static_cast<int>(in.size());
  for (int step = 1; step < size; ++step) {
    auto const from = static_cast<size_t>((rank + size - step) % size);
    operation.receive(in[from].data, in[from].bytes, static_cast<int>(from));
  }
  for (int step = 1; step < size; ++step) {
    auto const to = static_cast<size_t>((rank + step) % size);
    operation.send(out[to].data, out[to].bytes, static_cast<int>(to));
  }
}

MPI_Comm duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(comm, &copy));
  return copy;
}

void copy_block(Block const& from, Block const& to) {
  if (from.bytes > 0 && from.data != to.data) std::memmove(to.data, from.data, from.bytes);
}

}  // namespace

/// A reduction over ranks of the parts of `all`: part q is reduced on rank q. It runs in slices,
/// one slice of every part at a time.
struct Mpi::Reduction {
  enum class Result {
    mine,  ///< this rank's part, written to `mine`
    all,   ///< all parts, written to `all`
  };
  Result result;
  Reduce how;
  core::Dtype dtype;
  Counts counts;  ///< number of elements of each part
  std::byte* all;
  std::byte* mine;
  int64_t slice = 0;  ///< number of elements of a part in one slice

  size_t bytes(int64_t elements) const { return static_cast<size_t>(elements) * size_of(dtype); }

  /// Slice `number` of every part; empty after the end of a part.
  std::vector<Block> slices(int64_t number) const {
    std::vector<Block> blocks;
    std::byte* part = all;
    for (int64_t const total : counts) {
      int64_t const from = std::min(number * slice, total), to = std::min(from + slice, total);
      blocks.push_back({part + bytes(from), bytes(to - from)});
      part += bytes(total);
    }
    return blocks;
  }
};

Mpi::Mpi(Session& session, size_t message_bytes)
    : Mpi(session, duplicate(MPI_COMM_WORLD), message_bytes) {}

Mpi::Mpi(Session& session, MPI_Comm comm, size_t message_bytes)
    : session_(session), comm_(comm), message_bytes_(message_bytes) {
  // MPI lengths are int.
  core::check(message_bytes >= 8 && message_bytes <= size_t{1} << 30, "MPI message length of ",
              message_bytes, " bytes; must be from 8 to 2^30");
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
  check_mpi(MPI_Comm_rank(comm_, &rank_));
  check_mpi(MPI_Comm_size(comm_, &size_));
}

Mpi::~Mpi() { MPI_Comm_free(&comm_); }

PendingPtr Mpi::all_reduce(core::Tensor& t, Reduce how) {
  check_all_reduce(*this, t);
  auto operation = begin(Collective::all_reduce, {t});
  add_reduction(*operation, {Reduction::Result::all, how, t.dtype(), split_evenly(t.count(), size_),
                             t.raw(), nullptr});
  return start(std::move(operation));
}

PendingPtr Mpi::all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) {
  check_all_gather(*this, mine, counts, all);
  auto operation = begin(Collective::all_gather, {mine, all});
  core::Tensor source = mine;
  Block const own{source.raw(), source.bytes()};
  operation->then([this, own, in = blocks_of(all, counts)](Operation& stage) {
    exchange(stage, rank_, std::vector(in.size(), own), in);
    copy_block(own, in[static_cast<size_t>(rank_)]);
  });
  return start(std::move(operation));
}

PendingPtr Mpi::reduce_scatter(core::Tensor const& all, Counts const& counts, core::Tensor& mine) {
  check_reduce_scatter(*this, all, counts, mine);
  auto operation = begin(Collective::reduce_scatter, {all, mine});
  core::Tensor source = all;
  Counts elements = counts;
  auto const row = static_cast<int64_t>(row_bytes(all) / size_of(all.dtype()));
  for (int64_t& count : elements) count *= row;
  add_reduction(*operation, {Reduction::Result::mine, Reduce::sum, all.dtype(), std::move(elements),
                             source.raw(), mine.raw()});
  return start(std::move(operation));
}

PendingPtr Mpi::all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                           Counts const& receive) {
  check_all_to_all(*this, out, send, in, receive);
  auto operation = begin(Collective::all_to_all, {out, in});
  operation->then(
      [this, from = blocks_of(out, send), to = blocks_of(in, receive)](Operation& stage) {
        exchange(stage, rank_, from, to);
        auto const self = static_cast<size_t>(rank_);
        copy_block(from[self], to[self]);
      });
  return start(std::move(operation));
}

/// Binomial tree: a rank that has the tensor sends it to ranks at halving distances.
PendingPtr Mpi::broadcast(core::Tensor& t, int root) {
  check_broadcast(*this, t, root);
  auto operation = begin(Collective::broadcast, {t});
  Block const whole{t.raw(), t.bytes()};
  int const place = (rank_ - root + size_) % size_;
  auto const rank_at = [=, this](int other) { return (other + root) % size_; };
  int reach = 1;
  while (reach < size_ && (place & reach) == 0) reach *= 2;
  if (place != 0)
    operation->then(
        [=](Operation& stage) { stage.receive(whole.data, whole.bytes, rank_at(place - reach)); });
  operation->then([=, this](Operation& stage) {
    for (int step = reach / 2; step > 0; step /= 2)
      if (place + step < size_) stage.send(whole.data, whole.bytes, rank_at(place + step));
  });
  return start(std::move(operation));
}

/// Dissemination barrier: after the step of 2^k every rank has heard, directly or indirectly, from
/// 2^(k+1) ranks.
void Mpi::barrier() {
  auto operation = begin(Collective::barrier, {});
  for (int step = 1; step < size_; step *= 2)
    operation->then([=, this](Operation& stage) {
      stage.receive_signal((rank_ + size_ - step) % size_);
      stage.send_signal((rank_ + step) % size_);
    });
  start(std::move(operation))->wait();
}

std::unique_ptr<Communicator> Mpi::split(int color) {
  core::check(color >= 0, "split on rank ", rank_, " of ", size_, ": color ", color,
              " is negative; must be at least 0");
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(comm_, color, rank_, &part));
  return std::unique_ptr<Mpi>(new Mpi(session_, part, message_bytes_));
}

std::unique_ptr<Operation> Mpi::begin(Collective what, std::vector<core::Tensor> tensors) {
  for (core::Tensor const& t : tensors)
    check_device(*this, what, t, dynamic_cast<core::cpu::Cpu const*>(&t.device()) != nullptr,
                 "host memory");
  return std::make_unique<Operation>(session_.stream(), comm_, what, std::move(tensors),
                                     message_bytes_);
}

PendingPtr Mpi::start(std::unique_ptr<Operation> operation) {
  session_.stream().push(*operation);
  return operation;
}

/// While one slice is in flight, the previous one is reduced, in rank order.
void Mpi::add_reduction(Operation& operation, Reduction whole) {
  int64_t const room =
      static_cast<int64_t>(message_bytes_ / size_of(whole.dtype)) / (int64_t{2} * size_);
  whole.slice = std::max<int64_t>(room, 1);
  int64_t const longest = *std::max_element(whole.counts.begin(), whole.counts.end());
  int64_t const slices = (longest + whole.slice - 1) / whole.slice;
  auto const shared = std::make_shared<Reduction const>(std::move(whole));
  for (int64_t slice = 0; slice <= slices; ++slice)
    operation.then([=, this](Operation& stage) {
      if (slice < slices) exchange_slice(stage, *shared, slice);
      if (slice > 0) reduce_slice(stage, *shared, slice - 1);
    });
}

void Mpi::exchange_slice(Operation& stage, Reduction const& whole, int64_t number) {
  auto const out = whole.slices(number);
  exchange(stage, rank_, out, received(whole, number));
}

/// The stream's scratch memory holds two slices, each from all ranks.
std::vector<Block> Mpi::received(Reduction const& whole, int64_t number) {
  size_t const room = whole.bytes(whole.slice), half = room * static_cast<size_t>(size_);
  std::byte* at = session_.stream().scratch(2 * half) + (number % 2 == 0 ? 0 : half);
  size_t const bytes = whole.slices(number)[static_cast<size_t>(rank_)].bytes;
  std::vector<Block> blocks;
  for (int r = 0; r < size_; ++r, at += room) blocks.push_back({at, bytes});
  return blocks;
}

void Mpi::reduce_slice(Operation& stage, Reduction const& whole, int64_t number) {
  auto const slices = whole.slices(number);
  Block const own = slices[static_cast<size_t>(rank_)];
  std::vector<std::byte const*> parts;
  for (Block const& part : received(whole, number)) parts.push_back(part.data);
  parts[static_cast<size_t>(rank_)] = own.data;
  bool const share = whole.result == Reduction::Result::all;
  std::byte* const result = share ? own.data : whole.mine + whole.bytes(number * whole.slice);
  auto const count = static_cast<int64_t>(own.bytes / size_of(whole.dtype));
  reduce(whole.how, whole.dtype, parts, count, result);
  if (share) exchange(stage, rank_, std::vector(slices.size(), own), slices);
}

}  // namespace comm
