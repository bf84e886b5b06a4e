// Planted kernel faults are detected: by wrong results in some order, by an exception, or by a
// sanitizer report.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <numeric>
#include <sys/wait.h>
#include <unistd.h>
#include "core/cpu/kernels.h"
#include "tests/kernels/examples.cuh"
#include "tests/support/host_cuda/device.h"
#include "tests/support/host_cuda/mutation.h"

using Catch::Contains;
using core::cuda::launch;
using tests::host_cuda::Races;
using tests::host_cuda::Under;
using tests::host_cuda::unnoticed_barriers;
using namespace tests::kernels;

namespace {

template <class = void>
__global__ void diverges(int* out) {
  if (threadIdx.x < 10) {
    out[threadIdx.x] = 1;
    __syncthreads();
  } else {
    __syncthreads();
  }
}
constexpr int after_diverges = __LINE__;

/// Lanes from the 20th on never arrive.
template <class = void>
__global__ void lacks_lanes(int* out) {
  if (threadIdx.x < 20)
    out[threadIdx.x] = __shfl_xor_sync(full, 1, 1);
  else
    __syncthreads();
}
constexpr int after_lacks_lanes = __LINE__;

template <class = void>
__global__ void returns_early(int* out) {
  if (threadIdx.x == 7) return;
  out[threadIdx.x] = __shfl_xor_sync(full, 1, 1);
}

template <class = void>
__global__ void lacks_itself() {
  __syncwarp(0xFFu);
}

/// Each of three lanes waits for the next.
template <class = void>
__global__ void disagrees() {
  __syncwarp(1u << threadIdx.x | 1u << (threadIdx.x + 1) % 3);
}

template <class = void>
__global__ void odd_width(int* out) {
  out[threadIdx.x] = __shfl_sync(full, 1, 0, 12);
}

/// Correct: threads that have returned do not block a barrier.
template <class = void>
__global__ void waits_for_few(int* out) {
  if (threadIdx.x >= 10) return;
  __syncthreads();
  out[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
}

template <class = void>
__global__ void writes_shared(unsigned at) {
  core::cuda::dynamic_shared<unsigned char>()[at] = 1;
}

template <class = void>
__global__ void writes_static_shared(int at, int* out) {
  __shared__ int block[8];
  block[at] = 3;
  *out = block[at];
}

template <class = void>
__global__ void reads_shared(float* out) {
  *out = *core::cuda::dynamic_shared<float>();
}

template <class = void>
__global__ void writes(float* out, int64_t at) {
  out[at] = 1;
}

/// Wrong on a GPU only: no order of whole threads reveals it.
template <class = void>
__global__ void updates_plainly(int* count) {
  *count += 1;
}

/// In ascending order wrong on a GPU only: the second warp does not wait for the first.
template <class = void>
__global__ void passes_on(int* out) {
  __shared__ int value;
  if (threadIdx.x == 0) value = 3;
  __syncwarp();
  if (threadIdx.x == 32) *out = value;
}

/// The second barrier is redundant.
template <class = void>
__global__ void waits_twice(int const* x, int* y) {
  __shared__ int block[block_threads];
  block[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = block[block_threads - 1 - threadIdx.x];
  __syncthreads();
}
constexpr int after_waits_twice = __LINE__;

/// The lanes of a warp pass values through shared memory.
template <class = void>
__global__ void rotates(int const* x, int* y) {
  __shared__ int warp[32];
  int value = x[threadIdx.x];
  for (int turn = 0; turn < 5; ++turn) {
    warp[threadIdx.x] = value;
    __syncwarp();
    value = warp[(threadIdx.x + 1) % 32];
    __syncwarp();
  }
  y[threadIdx.x] = value;
}

/// n consecutive numbers; every run starts with a different one.
std::vector<int> counted(size_t n, unsigned run) {
  std::vector<int> x(n);
  std::iota(x.begin(), x.end(), 1 + static_cast<int>(100 * run));
  return x;
}

int total(std::vector<int> const& x) { return std::accumulate(x.begin(), x.end(), 0); }

constexpr char const* file = __FILE__;
std::string place(int line) { return file + (":" + std::to_string(line)); }

bool sums_hold(unsigned run) {
  auto const x = counted(257, run);
  std::vector<int> sums(3);
  launch(block_sums<int>, {3, block_threads}, nullptr, x.data(), 257, sums.data());
  return total(sums) == total(x);
}

bool compaction_holds(unsigned run) {
  auto const x = counted(257, run);
  std::vector<int> want, room(1000);  // indices are out of range without the barriers
  std::ranges::copy_if(x, std::back_inserter(want), [](int i) { return i % 3 == 0; });
  int count = 0;
  auto const kept = room.begin() + 500;
  launch(compact<int>, {1, 96, 3 * sizeof(int)}, nullptr, x.data(), 257, &*kept, &count);
  return count == std::ssize(want) && std::equal(want.begin(), want.end(), kept);
}

bool rotation_holds(unsigned run) {
  auto const x = counted(32, run);
  std::vector<int> y(32);
  launch(rotates<>, {1, 32}, nullptr, x.data(), y.data());
  return y[0] == x[5] && y[31] == x[4];
}

/// Runs `f` in a child process, which `f` may terminate; returns what it writes to stderr.
template <class F>
[[maybe_unused]] std::string last_words(F const& f) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  pid_t const child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    f();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  std::array<char, 4096> text{};
  for (ssize_t n; (n = read(ends[0], text.data(), text.size())) > 0;)
    words.append(text.data(), static_cast<size_t>(n));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return words;
}

/// Runs one test of this program in a new process and returns its output. A fork would not do:
/// ThreadSanitizer does not watch the children of a process that has had threads.
[[maybe_unused]] std::string printed_by(std::string const& test) {
  auto const program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const pipe(
      popen((program + " '" + test + "' 2>&1").c_str(), "r"), pclose);
  REQUIRE(pipe);
  std::string words;
  std::array<char, 4096> text{};
  while (size_t const n = std::fread(text.data(), 1, text.size(), pipe.get()))
    words.append(text.data(), n);
  return words;
}

tests::SimulatedDevice device() {
  return tests::SimulatedDevice(std::make_unique<core::cpu::CpuKernels>());
}

}  // namespace

TEST_CASE("simulator: a required barrier removed -> wrong result in some order") {
  CHECK(unnoticed_barriers(sums_hold).empty());
  CHECK(unnoticed_barriers(compaction_holds).empty());
  CHECK(unnoticed_barriers(rotation_holds).empty());
}

TEST_CASE("simulator: a redundant barrier -> reported with file and line") {
  auto const needless = unnoticed_barriers([](unsigned run) {
    auto const x = counted(block_threads, run);
    std::vector<int> y(block_threads);
    launch(waits_twice<>, {1, block_threads}, nullptr, x.data(), y.data());
    return std::equal(x.begin(), x.end(), y.rbegin());
  });
  REQUIRE(needless.size() == 1);
  CHECK(needless[0].file == file);
  CHECK(needless[0].line == after_waits_twice - 2);
  CHECK_THROWS_WITH(unnoticed_barriers([](unsigned) { return false; }),
                    Contains("wrong even with every barrier in place"));
}

TEST_CASE("simulator: threads wait for what cannot arrive -> error with positions") {
  std::vector<int> out(64);
  CHECK_THROWS_WITH(launch(diverges<>, {1, 64}, nullptr, out.data()),
                    Contains("block (0, 0, 0): divergent __syncthreads: thread 0 is here, 10 at " +
                             place(after_diverges - 3) + " (" + place(after_diverges - 5) + ")"));
  CHECK_THROWS_WITH(launch(lacks_lanes<>, {dim3(1, 2), 32}, nullptr, out.data()),
                    Contains("deadlock: of 32 threads 0 returned, 20 wait in __shfl_xor_sync at " +
                             place(after_lacks_lanes - 4) + ", 12 wait in __syncthreads at " +
                             place(after_lacks_lanes - 2)));
  CHECK_THROWS_WITH(launch(returns_early<>, {1, 32}, nullptr, out.data()),
                    Contains("deadlock: of 32 threads 1 returned, 31 wait in __shfl_xor_sync"));
  CHECK_THROWS_WITH(launch(lacks_itself<>, {1, 32}, nullptr),
                    Contains("__syncwarp: mask 0xff lacks lane 8, which calls it"));
  CHECK_THROWS_WITH(launch(disagrees<>, {1, 3}, nullptr),
                    Contains("deadlock: of 3 threads 0 returned, 3 wait in __syncwarp"));
  CHECK_THROWS_WITH(launch(odd_width<>, {1, 32}, nullptr, out.data()), Contains("width 12"));

  launch(waits_for_few<>, {1, 64}, nullptr, out.data());
  CHECK(out[9] == 10);
}

TEST_CASE("simulator: launch that a GPU rejects -> error with the launch parameters") {
  auto const of = [](dim3 blocks, unsigned threads, size_t shared = 0) {
    return [=] { launch(lacks_itself<>, {blocks, threads, shared}, nullptr); };
  };
  CHECK_THROWS_WITH(of(0, 32)(), Contains("launch of (0, 1, 1) blocks"));
  CHECK_THROWS_WITH(of(dim3(1, 65536), 32)(), Contains("launch of (1, 65536, 1) blocks"));
  CHECK_THROWS_WITH(of(dim3(1, 1, 65536), 32)(),
                    Contains("allowed: 1 to (2147483647, 65535, 65535)"));
  CHECK_THROWS_WITH(of(1u << 31, 32)(), Contains("launch of (2147483648, 1, 1) blocks"));
  CHECK_THROWS_WITH(of(1, 0)(), Contains("launch of 0 threads per block"));
  CHECK_THROWS_WITH(of(1, 1025)(), Contains("launch of 1025 threads per block"));
  CHECK_THROWS_WITH(of(1, 32, (48 << 10) + 1)(), Contains("49153 bytes of dynamic shared memory"));
  CHECK_THROWS_WITH(of(1, 1025)(), Contains("tests/kernels/faults_test.cpp"));
}

TEST_CASE("simulator: memory never written -> reads as NaN") {
  float value = 1;
  launch(reads_shared<>, {1, 1, sizeof(float)}, nullptr, &value);
  CHECK(std::isnan(value));

  auto gpu = device();
  core::Tensor const t(gpu, {3}, core::Dtype::bf16);
  for (int i = 0; i < 3; ++i) CHECK(std::isnan(float(t.data<core::bf16>()[i])));
}

#ifdef __SANITIZE_ADDRESS__
TEST_CASE("simulator: write outside global or shared memory -> AddressSanitizer report", "[asan]") {
  auto gpu = device();
  core::Tensor t(gpu, {5}, core::Dtype::f32);
  float* const data = t.data<float>();
  int value = 0;
  auto const global = [&](int64_t at) { launch(writes<>, {1, 1}, nullptr, data, at); };
  auto const shared = [](unsigned at) { launch(writes_shared<>, {1, 1, 9}, nullptr, at); };
  auto const fixed = [&](int at) { launch(writes_static_shared<>, {1, 1}, nullptr, at, &value); };
  CHECK(last_words([&] { global(4), shared(8), fixed(7); }).empty());
  CHECK_THAT(last_words([&] { global(5); }), Contains("heap-buffer-overflow"));
  CHECK_THAT(last_words([&] { global(-1); }), Contains("heap-buffer-overflow"));
  CHECK_THAT(last_words([&] { shared(9); }), Contains("heap-buffer-overflow"));
  CHECK_THAT(last_words([&] { fixed(8); }), Contains("index 8 out of bounds"));
  t = {};
  CHECK_THAT(last_words([&] { global(0); }), Contains("heap-use-after-free"));
}
#else
TEST_CASE("simulator: write outside global or dynamic shared memory -> error from the guards") {
  auto gpu = device();
  core::Tensor t(gpu, {5}, core::Dtype::f32);
  launch(writes<>, {1, 1}, nullptr, t.data<float>(), 4);
  gpu.check_guards();

  launch(writes_shared<>, {1, 1, 9}, nullptr, 8u);
  CHECK_THROWS_WITH(launch(writes_shared<>, {1, 1, 9}, nullptr, 9u),
                    Contains("dynamic shared memory: byte 9 of 9 was written"));

  auto const at = GENERATE(5, -1);
  launch(writes<>, {1, 1}, nullptr, t.data<float>(), at);
  auto const damaged = Contains("at byte " + std::to_string(at < 0 ? -1 : 20) + " of 20");
  CHECK_THROWS_WITH(gpu.check_guards(), damaged);
  std::vector<float> host(5);
  CHECK_THROWS_WITH(gpu.download(t, host.data()), damaged);
  CHECK_THROWS_WITH(gpu.synchronize(), damaged);
  t = {};
  CHECK_THROWS_WITH(gpu.check_guards(), damaged);
}
#endif

#ifdef __SANITIZE_THREAD__
namespace {

void run_racing(void (*kernel)(int*), Races races) {
  int value = 0;
  Under const under({.races = races});
  launch(kernel, {1, 64}, nullptr, &value);
}

}  // namespace

TEST_CASE("simulator: race that no order reveals -> ThreadSanitizer report", "[tsan]") {
  auto const race = Contains("ThreadSanitizer found a data race");
  CHECK_THROWS_WITH(run_racing(updates_plainly<>, Races::hidden), race);
  CHECK_THROWS_WITH(run_racing(passes_on<>, Races::hidden), race);
  CHECK_THAT(printed_by("simulator: racing kernel -> ThreadSanitizer prints the race"),
             Contains("data race") && Contains("updates_plainly"));
}

// Hidden: a ThreadSanitizer report makes the program fail.
TEST_CASE("simulator: racing kernel -> ThreadSanitizer prints the race", "[.]") {
  run_racing(updates_plainly<>, Races::reported);
}
#endif
