#include "train/commands/exit.h"
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <new>
#include <thread>
#include "core/device.h"

namespace train {
namespace {

/// The launcher's variable with this process's rank, or null.
char const* rank_variable() {
  for (auto const* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (char const* const rank = std::getenv(name)) return rank;
  return nullptr;
}

/// A timeout that the clock cannot represent is none.
comm::Clock::duration in_clock_time(double seconds) {
  double const most = std::chrono::duration<double>(comm::Clock::duration::max()).count();
  if (seconds >= most / 2) return {};
  return std::chrono::duration_cast<comm::Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

int launched_rank() {
  char const* const rank = rank_variable();
  return rank ? std::atoi(rank) : 0;
}

bool launched() { return rank_variable() != nullptr; }

int exit_code(std::exception const& error) {
  if (auto const* known = dynamic_cast<RunError const*>(&error)) return code(known->exit);
  if (dynamic_cast<comm::Timeout const*>(&error) != nullptr) return code(Exit::requeue);
  if (dynamic_cast<std::filesystem::filesystem_error const*>(&error) != nullptr)
    return code(Exit::io);
  bool const memory = dynamic_cast<core::OutOfMemory const*>(&error) != nullptr ||
                      dynamic_cast<std::bad_alloc const*>(&error) != nullptr;
  return code(memory ? Exit::out_of_memory : Exit::internal);
}

void print_error(std::string const& message, int rank) {
  if (rank > 0) std::this_thread::sleep_for(std::chrono::seconds(5));
  auto const whose = rank > 0 ? core::join("rank ", rank, ": ") : "";
  std::cerr << core::join("colonnade: error: ", whose, message, '\n') << std::flush;
}

int run_on_ranks(int& argc, char**& argv, double timeout,
                 std::function<void(comm::Session&)> const& command) {
  comm::Session session(argc, argv, in_clock_time(timeout));
  auto const body = [&] {
    command(session);
    return code(Exit::done);
  };
  return session.run(body, [&](std::exception const& error) {
    print_error(error.what(), session.rank());
    return exit_code(error);
  });
}

}  // namespace train
