#pragma once
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include "core/cpu/device.h"
#include "core/cuda/open.h"

/// Shared code of the kernel benchmarks.
namespace bench {

/// Command line arguments: [auto | cpu | cuda [seconds per figure]].
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

/// Opens the device of that name; auto: the first GPU if there is one, otherwise the CPU.
inline std::unique_ptr<core::Device> open_device(std::string const& name) {
  bool const gpu = name == "cuda" || (name == "auto" && core::cuda::available().count > 0);
  if (gpu) return core::cuda::open(0, {});
  return std::make_unique<core::cpu::Cpu>();
}

/// Factor by which the CPU's problem size must grow to keep this device busy and exceed its cache.
inline int64_t scale(core::Device const& device) {
  constexpr int64_t of_a_core = int64_t{4} << 20;  // the CPU device's cache_bytes()
  return std::max<int64_t>(1, device.cache_bytes() / of_a_core);
}

/// Time of `calls` calls in seconds, including the completion of the last one.
template <class F>
double seconds(core::Device& device, int64_t calls, F const& call) {
  using Clock = std::chrono::steady_clock;
  device.synchronize();
  auto const start = Clock::now();
  for (int64_t i = 0; i < calls; ++i) call();
  device.synchronize();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Time per call in seconds: the fastest of the batches of calls that fit into `budget` seconds
/// after the first call. A batch is long compared with the cost of launching and synchronizing.
template <class F>
double fastest(core::Device& device, double budget, F const& call) {
  constexpr double batch = 2e-3;
  seconds(device, 1, call);  // libraries select their algorithms
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
