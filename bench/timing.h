#pragma once
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include "core/cpu/device.h"
#include "core/cuda/open.h"

/// What the benchmarks of kernels share.
namespace bench {

/// The command line: [auto | cpu | cuda [seconds a figure]].
struct Arguments {
  std::string device = "auto";
  double seconds;

  Arguments(int count, char** words, double default_seconds)
      : device(count > 1 ? words[1] : "auto"),
        seconds(count > 2 ? std::strtod(words[2], nullptr) : default_seconds) {
    bool const known = device == "auto" || device == "cpu" || device == "cuda";
    core::check(known && seconds > 0, "usage: ", words[0], " [auto | cpu | cuda [seconds]]");
  }
};

/// The device of that name; auto: the first GPU where there is one, else the CPU.
inline std::unique_ptr<core::Device> open_device(std::string const& name) {
  bool const gpu = name == "cuda" || (name == "auto" && core::cuda::available().count > 0);
  if (gpu) return core::cuda::open(0, {});
  return std::make_unique<core::cpu::Cpu>();
}

/// How many times the CPU's share of data keeps this device busy and does not stay in its cache.
inline int64_t scale(core::Device const& device) {
  constexpr int64_t of_a_core = int64_t{4} << 20;  // what the CPU device counts on
  return std::max<int64_t>(1, device.cache_bytes() / of_a_core);
}

/// Seconds of `calls` calls, the last one done.
template <class F>
double seconds(core::Device& device, int64_t calls, F const& call) {
  using Clock = std::chrono::steady_clock;
  device.synchronize();
  auto const start = Clock::now();
  for (int64_t i = 0; i < calls; ++i) call();
  device.synchronize();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Seconds of a call, by the fastest of as many batches of calls as fit into `budget` seconds after
/// the first call. A batch is long beside what launching and waiting for it costs.
template <class F>
double fastest(core::Device& device, double budget, F const& call) {
  constexpr double batch = 2e-3;
  seconds(device, 1, call);  // libraries choose their algorithms
  int64_t calls = 1;
  double best = seconds(device, calls, call);
  while (best < batch) best = seconds(device, calls *= 2, call);
  for (double spent = best; spent < budget;) {
    double const taken = seconds(device, calls, call);
    best = std::min(best, taken);
    spent += taken;
  }
  return best / static_cast<double>(calls);
}

}  // namespace bench
