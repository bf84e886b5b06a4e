#include "tests/support/fake_cuda/meeting.h"
#include <cerrno>
#include <fcntl.h>
#include <random>
#include <stdexcept>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace tests::fake_cuda {

struct Meeting::Memory {
  std::atomic<int> size, joined, left;
  std::array<std::atomic<bool>, most_ranks> present;
  std::array<Mailbox, most_ranks> of;
  std::array<std::array<Mailbox, most_ranks>, most_ranks> between;
};

namespace {

[[noreturn]] void fail(char const* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Maps `bytes` of the named memory, all zero if it is new. Only pages in use take memory.
void* map(std::string const& name, size_t bytes) {
  int const file = shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
  if (file < 0) fail("shm_open");
  bool const sized = ftruncate(file, static_cast<off_t>(bytes)) == 0;
  void* const memory =
      sized ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  close(file);
  if (memory == MAP_FAILED) fail("mmap");
  return memory;
}

}  // namespace

std::string Meeting::new_name() {
  std::random_device random;
  return "/colonnade_fake_nccl_" + std::to_string(getpid()) + "_" + std::to_string(random());
}

Meeting::Meeting(std::string name, int rank, int size)
    : name_(std::move(name)),
      rank_(rank),
      size_(size),
      memory_(static_cast<Memory*>(map(name_, sizeof(Memory)))) {
  int expected = 0;
  bool const same = memory_->size.compare_exchange_strong(expected, size) || expected == size;
  if (!same || memory_->present[static_cast<size_t>(rank)].exchange(true)) {
    munmap(memory_, sizeof(Memory));
    throw std::invalid_argument(same ? "two ranks have the same number" : "sizes differ");
  }
  ++memory_->joined;
}

Meeting::~Meeting() {
  if (!complete()) close();
  munmap(memory_, sizeof(Memory));
}

bool Meeting::complete() const { return memory_->joined == size_; }
void Meeting::close() const { shm_unlink(name_.c_str()); }
void Meeting::leave() { ++memory_->left; }
bool Meeting::all_left() const { return memory_->left == size_; }

Mailbox& Meeting::of(int rank) { return memory_->of[static_cast<size_t>(rank)]; }

Mailbox& Meeting::between(int from, int to) {
  return memory_->between[static_cast<size_t>(from)][static_cast<size_t>(to)];
}

}  // namespace tests::fake_cuda
