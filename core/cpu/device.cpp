#include "core/cpu/device.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include "core/cpu/copies.h"
#include "core/cpu/isa.h"

namespace core::cpu {
namespace {

constexpr size_t line = 64, huge_page = size_t{2} << 20;

/// Size of the block for a request, in bytes: a multiple of the cache line, at most a sixteenth
/// more than requested, so that similar sizes share a free list.
size_t block_size(size_t bytes) {
  size_t const step = std::max(line, std::bit_floor(bytes) / 16);
  return std::max(line, (bytes + step - 1) / step * step);
}

/// Returns null if memory is exhausted.
std::byte* fresh_block(size_t size) {
  bool const huge = size >= huge_page;
  void* block = nullptr;
  if (posix_memalign(&block, huge ? huge_page : line, size) != 0) return nullptr;
  if (huge) madvise(block, size, MADV_HUGEPAGE);  // only a hint: failure affects speed alone
  return static_cast<std::byte*>(block);
}

char const* vector_units() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return ", AVX-512";
  if (__builtin_cpu_supports("avx2")) return ", AVX2";
#endif
  return "";
}

char const* name_of(Bf16Units units) {
  switch (units) {
    case Bf16Units::none:
      return "";
    case Bf16Units::avx512:
      return " with bf16";
    case Bf16Units::amx:
      return ", AMX bf16";
  }
  fail("unknown units for bf16");
}

}  // namespace

struct Cpu::Pool {
  ~Pool() { release(); }

  std::byte* take(size_t bytes) {
    constexpr size_t most = size_t{1} << 62;
    size_t const size = block_size(std::min(bytes, most));
    std::scoped_lock const lock(mutex);
    Block*& list = free[size];
    auto* block = reinterpret_cast<std::byte*>(list);
    if (block) {
      list = list->next;
    } else if (!(block = fresh_block(size))) {
      release();
      block = fresh_block(size);
    }
    if (!block)
      throw OutOfMemory(join("out of memory: requested ", bytes, " bytes with ", use.now,
                             " bytes in use on the CPU"));
    use.now += size;
    use.peak = std::max(use.peak, use.now);
    return block;
  }

  void give_back(std::byte* bytes, size_t size) noexcept {
    std::scoped_lock const lock(mutex);
    Block*& list = free.find(size)->second;
    list = new (bytes) Block{list};
    use.now -= size;
  }

  /// Frees the cached blocks.
  void release() noexcept {
    for (auto& [size, list] : free)
      while (list) std::free(std::exchange(list, list->next));
  }

  /// A freed block contains the link to the next free block of its size.
  struct Block {
    Block* next;
  };
  mutable std::mutex mutex;
  std::unordered_map<size_t, Block*> free;
  MemoryUse use;
};

Cpu::Cpu(int threads)
    : pool_(std::make_shared<Pool>()), threads_(threads > 0 ? threads : omp_get_max_threads()) {}

std::string Cpu::describe() const {
  return join("CPU, ", threads_, threads_ == 1 ? " thread" : " threads", vector_units(),
              name_of(bf16_units()));
}

bool Cpu::fast_bf16() const { return bf16_units() != Bf16Units::none; }

std::shared_ptr<std::byte> Cpu::allocate(size_t bytes) {
  std::byte* const block = pool_->take(bytes);
  return {block, [pool = pool_, size = block_size(bytes)](std::byte* freed) {
            pool->give_back(freed, size);
          }};
}

MemoryUse Cpu::memory() const {
  std::scoped_lock const lock(pool_->mutex);
  return pool_->use;
}

Kernels& Cpu::kernels() {
  omp_set_num_threads(threads_);  // OpenMP stores the number per calling thread
  return kernels_;
}

void Cpu::upload(void const* host, Tensor& tensor) {
  std::copy_n(static_cast<std::byte const*>(host), tensor.bytes(), tensor.raw());
}

void Cpu::download(Tensor const& tensor, void* host) {
  std::copy_n(tensor.raw(), tensor.bytes(), static_cast<std::byte*>(host));
}

std::unique_ptr<InputStage> Cpu::input_stage() { return std::make_unique<Copies>(*this); }

std::unique_ptr<Graph> Cpu::capture(std::function<void()> const&) {
  fail("the CPU executes eagerly and cannot record a graph");
}

void Cpu::copy(Tensor const& from, Tensor& to) { std::memmove(to.raw(), from.raw(), from.bytes()); }

int64_t Cpu::capacity() const { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE); }

int64_t Cpu::free_memory() const {
  return int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

}  // namespace core::cpu
