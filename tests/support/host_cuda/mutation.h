#pragma once
#include <algorithm>
#include <vector>
#include "tests/support/host_cuda/simulator.h"

namespace tests::host_cuda {

/// All orders in which kernels are tested.
inline std::vector<Settings> all_orders() {
  return {{.order = Order::ascending},
          {.order = Order::descending},
          {.order = Order::shuffled, .seed = 1},
          {.order = Order::shuffled, .seed = 2}};
}

/// Returns the barriers of the kernels launched by `passes` without which its results are still
/// correct in every order: redundant barriers, or barriers whose absence `passes` does not detect.
/// If a fast warp may overwrite data that a slow one has yet to read, only ThreadSanitizer may
/// detect it.
///
///  passes(run) launches kernels and returns whether the results are correct. It must derive its
///  data from the run number, because static shared memory keeps the values of the previous run.
template <class F>
std::vector<Site> unnoticed_barriers(F const& passes) {
  unsigned run = 0;
  auto const holds = [&](Settings const& settings) {
    Under const under(settings);
    try {
      return static_cast<bool>(passes(run++));
    } catch (core::Error const&) {
      return false;
    }
  };
  take_barriers_met();
  for (Settings const& settings : all_orders())
    core::check(holds(settings), "the results are wrong even with every barrier in place");
  std::vector<Site> unnoticed;
  for (Site const& site : take_barriers_met()) {
    auto const holds_without = [&](Settings settings) {
      settings.races = Races::hidden;
      settings.skipped_barrier = site;
      return holds(settings);
    };
    if (std::ranges::all_of(all_orders(), holds_without)) unnoticed.push_back(site);
  }
  return unnoticed;
}

}  // namespace tests::host_cuda
