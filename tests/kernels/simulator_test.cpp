// The simulator executes kernels as CUDA does: small kernels against plain loops, in every order.
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include "tests/kernels/examples.cuh"
#include "tests/support/host_cuda/mutation.h"

using core::cuda::launch;
using tests::host_cuda::all_orders;
using tests::host_cuda::Order;
using tests::host_cuda::Settings;
using tests::host_cuda::Under;
using namespace tests::kernels;

namespace {

/// Integers, so that sums are exact in every order.
template <class T>
std::vector<T> numbers(int n) {
  std::vector<T> x;
  for (int i = 0; i < n; ++i) x.push_back(static_cast<T>(i * 7919 % 101 - 50));
  return x;
}

/// Returns n elements written by f(x); they are initialized to NaN, or to -1.
template <class T>
std::vector<T> result(size_t n, std::function<void(T*)> const& f) {
  std::vector<T> y(n, std::is_floating_point_v<T> ? T(NAN) : T(-1));
  f(y.data());
  return y;
}

struct Exchanged {
  int up, down, flipped, given;
};

/// Each lane contributes its number.
template <class = void>
__global__ void exchange(int width, Exchanged* out) {
  int const lane = static_cast<int>(threadIdx.x);
  out[lane] = {__shfl_up_sync(full, lane, 3, width), __shfl_down_sync(full, lane, 3, width),
               __shfl_xor_sync(full, lane, 9, width), __shfl_sync(full, lane, 5, width)};
}

template <class T>
__global__ void shuffle_wide(T value, T* out) {
  out[threadIdx.x] = __shfl_down_sync(full, value * T(threadIdx.x), 1);
}

/// Even and odd lanes synchronize separately, several times.
template <class = void>
__global__ void apart(int* out) {
  int const lane = static_cast<int>(threadIdx.x);
  int value = lane;
  if (lane % 2 == 0)
    for (int bits = 16; bits > 1; bits /= 2) value += __shfl_xor_sync(0x55555555u, value, bits);
  else
    value = __shfl_sync(0xAAAAAAAAu, value, 31);
  out[lane] = __shfl_xor_sync(full, value, 1);
}

template <class = void>
__global__ void votes(unsigned* out) {
  bool const last = threadIdx.x == blockDim.x - 1;
  unsigned const ballot = __ballot_sync(full, threadIdx.x % 3 == 0);
  int const any = __any_sync(full, last), all = __all_sync(full, !last);
  int const every = __all_sync(full, threadIdx.x < blockDim.x);
  if (last) out[0] = ballot, out[1] = any, out[2] = all, out[3] = every;
}

template <class = void>
__global__ void tally(int const* x, int n, int* counts, int* most, unsigned* filled, float* sum) {
  int const i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  atomicAdd(&counts[(x[i] + 50) / 10], 1);
  atomicMax(most, x[i]);
  atomicAdd(sum, static_cast<float>(x[i]));
  atomicCAS(&filled[i / 2], 0u, static_cast<unsigned>(i) + 1);
}

/// Records the numbers of the grid's threads in the order of their execution.
template <class = void>
__global__ void queue(int* count, int* turns) {
  int const number = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  turns[atomicAdd(count, 1)] = number;
  __syncthreads();
  turns[atomicAdd(count, 1)] = number;
}

std::vector<int> turns(Settings const& settings) {
  Under const under(settings);
  int count = 0;
  return result<int>(12, [&](int* out) { launch(queue<>, {2, 3}, nullptr, &count, out); });
}

/// Records the block index of each thread in a grid of several dimensions.
template <class = void>
__global__ void indices(unsigned* out) {
  unsigned const block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  out[block * blockDim.x + threadIdx.x] = 100 * blockIdx.z + 10 * blockIdx.y + blockIdx.x;
}

}  // namespace

TEST_CASE(
    "simulator: element, block and warp kernels at odd sizes in every order -> same as loops") {
  auto const n = GENERATE(1, 31, 32, 33, 255, 257, 4097);
  for (Settings const& settings : all_orders()) {
    CAPTURE(n, settings.order, settings.seed);
    Under const under(settings);
    auto const x = numbers<float>(n);
    auto const sum = std::accumulate(x.begin(), x.end(), 0.0f);

    std::vector<float> y(x.rbegin(), x.rend()), want = y;
    for (size_t i = 0; i < x.size(); ++i) want[i] += 3 * x[i];
    launch(saxpy<float>, {5, 33}, nullptr, 3, x.data(), y.data(), n);
    CHECK(y == want);

    auto const of_blocks = result<float>(3, [&](float* sums) {
      launch(block_sums<float>, {3, block_threads}, nullptr, x.data(), n, sums);
    });
    CHECK(std::accumulate(of_blocks.begin(), of_blocks.end(), 0.0f) == sum);

    auto const of_warps = result<float>(6, [&](float* sums) {
      launch(warp_sums<float>, {2, 96}, nullptr, x.data(), n, sums);
    });
    CHECK(std::accumulate(of_warps.begin(), of_warps.end(), 0.0f) == sum);
  }
}

TEST_CASE("simulator: compaction by ballots and dynamic shared memory -> elements in order") {
  auto const n = GENERATE(1, 31, 32, 33, 255, 257, 4097);
  auto const x = numbers<int>(n);
  std::vector<int> multiples;
  for (int const value : x)
    if (value % 3 == 0) multiples.push_back(value);
  for (Settings const& settings : all_orders()) {
    Under const under(settings);
    int count = -1;
    auto kept = result<int>(x.size(), [&](int* out) {
      launch(compact<int>, {1, 96, 3 * sizeof(int)}, nullptr, x.data(), n, out, &count);
    });
    REQUIRE(count == std::ssize(multiples));
    kept.resize(multiples.size());
    CHECK(kept == multiples);
  }
}

TEST_CASE("simulator: dynamic shared memory of whole and partial warps -> reversed array") {
  auto const n = GENERATE(1u, 31u, 32u, 33u, 255u, 257u, 1024u);
  auto const x = numbers<double>(static_cast<int>(n));
  auto const y = result<double>(n, [&](double* out) {
    launch(reverse<double>, {1, n, n * sizeof(double)}, nullptr, x.data(), out);
  });
  CHECK(std::vector(y.rbegin(), y.rend()) == x);
}

TEST_CASE("simulator: shuffles within groups of 8 and 32 lanes -> values of the right lanes") {
  auto const width = GENERATE(8, 32);
  std::vector<Exchanged> out(32);
  launch(exchange<>, {1, 32}, nullptr, width, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    int const group = lane / width * width, place = lane - group, flipped = lane ^ 9;
    Exchanged const& got = out[static_cast<size_t>(lane)];
    CHECK(got.up == (place < 3 ? lane : lane - 3));
    CHECK(got.down == (place + 3 >= width ? lane : lane + 3));
    CHECK(got.flipped == (flipped >= group + width ? lane : flipped));
    CHECK(got.given == group + 5);
  }
}

TEST_CASE("simulator: shuffles of 64 bits -> whole values; from absent lanes -> all bits set") {
  auto const whole = result<int64_t>(32, [](int64_t* out) {
    launch(shuffle_wide<int64_t>, {1, 32}, nullptr, int64_t{1} << 40, out);
  });
  CHECK(whole[30] == int64_t{31} << 40);
  auto const partial = result<double>(20, [](double* out) {
    launch(shuffle_wide<double>, {1, 20}, nullptr, 0.5, out);
  });
  CHECK(partial[18] == 9.5);
  CHECK(std::isnan(partial[19]));
}

TEST_CASE("simulator: disjoint masks in one warp -> lanes synchronize independently") {
  auto const out = result<int>(32, [](int* to) { launch(apart<>, {1, 32}, nullptr, to); });
  for (int lane = 0; lane < 32; ++lane)
    CHECK(out[static_cast<size_t>(lane)] == (lane % 2 == 0 ? 31 : 240));
}

TEST_CASE("simulator: ballot, any and all on full and partial warps -> CUDA's results") {
  auto const of = [](unsigned threads) {
    return result<unsigned>(4, [&](unsigned* out) { launch(votes<>, {1, threads}, nullptr, out); });
  };
  CHECK(of(32) == std::vector<unsigned>{0x49249249u, 1, 0, 1});
  CHECK(of(5) == std::vector<unsigned>{0b01001u, 1, 0, 1});
}

TEST_CASE("simulator: atomicAdd, atomicMax and atomicCAS -> same as loops") {
  int const n = 257;
  auto const x = numbers<int>(n);
  std::vector<int> counts(11), want(11);
  for (int const value : x) ++want[static_cast<size_t>(value + 50) / 10];
  std::vector<unsigned> filled((n + 1) / 2);
  int most = -1000;
  float sum = 0.5;
  launch(tally<>, {5, 64}, nullptr, x.data(), n, counts.data(), &most, filled.data(), &sum);
  CHECK(counts == want);
  CHECK(most == *std::max_element(x.begin(), x.end()));
  CHECK(sum == 0.5f + static_cast<float>(std::accumulate(x.begin(), x.end(), 0)));
  for (size_t i = 0; i < filled.size(); ++i) CHECK(filled[i] == 2 * i + 1);
}

TEST_CASE(
    "simulator: ascending, descending and shuffled order -> blocks and threads run in that order") {
  CHECK(turns({}) == std::vector{0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  CHECK(turns({.order = Order::descending}) == std::vector{5, 4, 3, 5, 4, 3, 2, 1, 0, 2, 1, 0});
  auto const shuffled = turns({.order = Order::shuffled, .seed = 1});
  CHECK(shuffled != turns({}));
  CHECK(shuffled != turns({.order = Order::shuffled, .seed = 2}));
  CHECK(shuffled == turns({.order = Order::shuffled, .seed = 1}));
  CHECK(std::is_permutation(shuffled.begin(), shuffled.end(), turns({}).begin()));
}

TEST_CASE("simulator: grid of three dimensions -> right block indices") {
  auto const out = result<unsigned>(48, [](unsigned* to) {
    launch(indices<>, {dim3(2, 3, 4), 2}, nullptr, to);
  });
  CHECK(out[0] == 0);
  CHECK(out[2 * 1 + 1] == 1);
  CHECK(out[2 * (2 * 2 + 1)] == 21);
  CHECK(out[47] == 321);
}

TEST_CASE("simulator: blocks shared by several host threads -> same sums") {
  Under const under({.os_threads = 3});
  auto const x = numbers<double>(20'000);
  auto const sums = result<double>(100, [&](double* out) {
    launch(block_sums<double>, {100, block_threads}, nullptr, x.data(), std::ssize(x), out);
  });
  CHECK(std::accumulate(sums.begin(), sums.end(), 0.0) == std::accumulate(x.begin(), x.end(), 0.0));
}
