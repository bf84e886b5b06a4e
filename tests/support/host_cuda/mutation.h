#pragma once
#include <algorithm>
#include <vector>
#include "tests/support/host_cuda/simulator.h"

namespace tests::host_cuda {

/// Every order in which kernels are tried.
inline std::vector<Settings> all_orders() {
  return {{.order = Order::ascending},
          {.order = Order::descending},
          {.order = Order::shuffled, .seed = 1},
          {.order = Order::shuffled, .seed = 2}};
}

/// Barriers of the kernels that `passes` launches without which its results are still right, in
/// every order: needless ones, or ones whose absence it does not notice. Where a fast warp may
/// overwrite what a slow one has yet to read, that may take ThreadSanitizer.
///
/// passes(run) launches kernels and says whether the results are right. It takes its data from the
/// number of the run, since static shared memory keeps what the run before has left there.
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
    core::check(holds(settings), "a kernel is wrong with all its barriers");
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
