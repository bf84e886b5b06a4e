#include "tests/support/host_cuda/block.h"
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include "tests/support/host_cuda/sanitizers.h"
#include "tests/support/host_cuda/simulator.h"

namespace tests::host_cuda {
namespace {

constexpr int warp = 32;
constexpr size_t shared_guard = 64;  // checked after each block
constexpr uint64_t undefined = ~uint64_t{0};

char const* name(Op op) {
  switch (op) {
    case Op::syncthreads:
      return "__syncthreads";
    case Op::syncwarp:
      return "__syncwarp";
    case Op::shfl:
      return "__shfl_sync";
    case Op::shfl_up:
      return "__shfl_up_sync";
    case Op::shfl_down:
      return "__shfl_down_sync";
    case Op::shfl_xor:
      return "__shfl_xor_sync";
    case Op::ballot:
      return "a ballot";
  }
  return "?";
}

bool is_barrier(Op op) { return op == Op::syncthreads || op == Op::syncwarp; }

bool same(core::Place a, core::Place b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

bool same(Call const& a, Call const& b) {
  return a.op == b.op && a.mask == b.mask && same(a.at, b.at);
}

bool takes_part(Call const& call, int lane) { return (call.mask >> lane & 1u) != 0; }

/// Source lane of `lane`'s value: the lane itself if the requested one lies in a later group.
int source_of(Call const& call, int lane) {
  int const first = lane & ~(call.width - 1), end = first + call.width;
  switch (call.op) {
    case Op::shfl:
      return first | (call.operand & (call.width - 1));
    case Op::shfl_up:
      return lane - call.operand < first ? lane : lane - call.operand;
    case Op::shfl_down:
      return lane + call.operand >= end ? lane : lane + call.operand;
    default:
      return (lane ^ call.operand) >= end ? lane : lane ^ call.operand;
  }
}

}  // namespace

Block& Block::current() {
  thread_local Block block;
  return block;
}

void Block::run(Launch const& launch, uint3 index, Order order, uint64_t seed) {
  order_ = order;
  random_.seed(seed);
  set_place(launch, index);
  make_threads();
  make_fibers();
  std::array<void*, 1> const host{this_identity()};
  happens_before(host, identities(turns_));
  try {
    run_all();
    happens_before(identities(turns_), host);
  } catch (...) {
    happens_before(identities(turns_), host);
    fibers_.clear();  // suspended in the middle of the kernel
    throw;
  }
}

void Block::set_place(Launch const& launch, uint3 index) {
  launch_ = &launch;
  builtins.block = index;
  builtins.block_size = launch.threads;
  builtins.grid_size = launch.blocks;
  if (!shared_ || shared_->size() != launch.shared)
    shared_ = std::make_unique<GuardedMemory>(launch.shared, shared_guard);
  shared_->poison();
}

void Block::make_threads() {
  threads_.clear();
  turns_.clear();
  ready_.clear();
  begun_ = finished_ = at_barrier_ = 0;
  for (unsigned number = 0; number < launch_->threads; ++number) threads_.push_back({number});
  for (Thread& thread : threads_) turns_.push_back(&thread);
  arrange(turns_, order_, random_);
}

/// Under ThreadSanitizer each CUDA thread has its own fiber. Otherwise a fiber runs threads until
/// one of them waits.
void Block::make_fibers() {
  vacant_.clear();
  for (auto const& fiber : fibers_) vacant_.push_back(fiber.get());
  if constexpr (thread_sanitizer)
    for (Thread& thread : threads_) thread.fiber = &vacant_fiber();
}

void Block::run_all() {
  RaceWatch const races(settings().races == Races::hidden);
  while (finished_ < threads_.size()) {
    step();
    if (races.found()) fail(launch_->at, "ThreadSanitizer found a data race");
  }
  if (std::string const damage = shared_->damage(); !damage.empty())
    fail(launch_->at, core::join("dynamic shared memory: ", damage, " was written"));
}

/// Runs one thread until it waits, or starts new threads until one of them waits.
void Block::step() {
  running_ = nullptr;
  next_fiber().resume();
  if (running_) arrive(*running_);
  if (at_barrier_ > 0 && at_barrier_ + finished_ == threads_.size()) complete_barrier();
}

Fiber& Block::next_fiber() {
  if (!ready_.empty()) {
    enter(*ready_.front());
    ready_.pop_front();
    return *running_->fiber;
  }
  if (begun_ == turns_.size()) fail_deadlocked();
  return thread_sanitizer ? *turns_[begun_]->fiber : vacant_fiber();
}

Fiber& Block::vacant_fiber() {
  if (vacant_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>([this](Fiber& fiber) { run_threads(fiber); }));
    return *fibers_.back();
  }
  Fiber& fiber = *vacant_.back();
  vacant_.pop_back();
  return fiber;
}

void Block::enter(Thread& thread) {
  running_ = &thread;
  thread.state = State::running;
  builtins.thread = {thread.number, 0, 0};
}

/// Body of a fiber.
void Block::run_threads(Fiber& fiber) {
  for (;;) {
    while (begun_ < turns_.size()) {
      enter(*turns_[begun_++]);
      running_->fiber = &fiber;
      launch_->kernel();
      running_->state = State::finished;
      ++finished_;
      if constexpr (thread_sanitizer) break;
    }
    running_ = nullptr;
    if constexpr (!thread_sanitizer) vacant_.push_back(&fiber);
    fiber.leave();
  }
}

uint64_t Block::meet(Call const& call) {
  Thread& self = *running_;
  self.call = call;
  self.state = State::waiting;
  self.fiber->leave();
  return self.result;
}

void Block::arrive(Thread const& thread) {
  Call const& call = thread.call;
  if (call.op == Op::syncthreads) {
    ++at_barrier_;
    return;
  }
  int const lane = lane_of(thread);
  if (!takes_part(call, lane))
    fail(call.at, core::join(name(call.op), ": mask 0x", std::hex, call.mask, std::dec,
                             " lacks lane ", lane, ", which calls it"));
  if (call.width < 1 || call.width > warp || !std::has_single_bit(unsigned(call.width)))
    fail(call.at, core::join(name(call.op), " with width ", call.width,
                             "; the width must be a power of two up to 32"));
  complete_warp(thread);
}

/// Completes the barrier if all threads that have not returned have reached it.
void Block::complete_barrier() {
  std::vector<Thread*> here;
  for (Thread& thread : threads_)
    if (thread.state == State::waiting) here.push_back(&thread);
  core::Place const at = here.front()->call.at;
  for (Thread const* thread : here)
    if (!same(thread->call.at, at))
      fail(at, core::join("divergent __syncthreads: thread ", here.front()->number, " is here, ",
                          thread->number, " at ", thread->call.at.file, ':', thread->call.at.line));
  at_barrier_ = 0;
  release(std::move(here));
}

/// Completes the operation if all lanes of its mask that exist in the block have reached it.
void Block::complete_warp(Thread const& last) {
  size_t const first = last.number / warp * warp;
  std::span const lanes(&threads_[first], std::min<size_t>(warp, threads_.size() - first));
  auto const concerned = [&](Thread const& t) { return takes_part(last.call, lane_of(t)); };
  auto const missing = [&](Thread const& t) {
    return concerned(t) && (t.state != State::waiting || !same(t.call, last.call));
  };
  if (std::ranges::any_of(lanes, missing)) return;
  std::vector<Thread*> here;
  for (Thread& thread : lanes)
    if (concerned(thread)) here.push_back(&thread);
  exchange(lanes, here);
  release(std::move(here));
}

/// Returns to each waiting lane its result.
void Block::exchange(std::span<Thread> lanes, std::vector<Thread*> const& here) {
  uint64_t ballot = 0;
  for (Thread const* thread : here)
    if (thread->call.value != 0) ballot |= uint64_t{1} << lane_of(*thread);
  for (Thread* thread : here) {
    Call const& call = thread->call;
    auto const source = static_cast<size_t>(source_of(call, lane_of(*thread)));
    bool const given = source < lanes.size() && takes_part(call, static_cast<int>(source));
    thread->result = call.op == Op::ballot ? ballot : given ? lanes[source].call.value : undefined;
  }
}

/// Threads released from a barrier run before other ready threads and before new ones, so they run
/// as far ahead as possible. In shuffled order they do so half of the time.
void Block::release(std::vector<Thread*> threads) {
  Call const& call = threads.front()->call;
  if (is_barrier(call.op)) note_barrier(call.at);
  happens_before(identities(threads), identities(threads));
  arrange(threads, order_, random_);
  for (Thread* thread : threads) thread->state = State::ready;
  bool const hurry = order_ != Order::shuffled || random_() % 2 == 0;
  ready_.insert(hurry ? ready_.begin() : ready_.end(), threads.begin(), threads.end());
}

std::vector<void*> Block::identities(std::vector<Thread*> const& threads) const {
  std::vector<void*> all;
  if constexpr (thread_sanitizer)
    for (Thread const* thread : threads) all.push_back(thread->fiber->identity());
  return all;
}

void Block::fail_deadlocked() const {
  std::map<std::string, int> waiting;
  Call const* first = nullptr;
  for (Thread const& thread : threads_) {
    if (thread.state != State::waiting) continue;
    if (!first) first = &thread.call;
    Call const& call = thread.call;
    ++waiting[core::join(name(call.op), " at ", call.at.file, ':', call.at.line)];
  }
  std::string what =
      core::join("deadlock: of ", threads_.size(), " threads ", finished_, " returned");
  for (auto const& [call, count] : waiting) what += core::join(", ", count, " wait in ", call);
  fail(first->at, what);
}

void Block::fail(core::Place at, std::string const& what) const {
  auto const [x, y, z] = builtins.block;
  core::fail({"CUDA simulator: block (", at}, x, ", ", y, ", ", z, "): ", what);
}

}  // namespace tests::host_cuda
