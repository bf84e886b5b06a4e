// Runs the rank tests under mpirun: every rank runs every test, and the run fails if any rank does.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <iostream>
#include <memory>
#include "comm/mpi.h"
#include "core/cpu/device.h"
#include "tests/support/prefixed.h"
#include "tests/support/ranks.h"

namespace {

tests::Ranks const* current = nullptr;

/// Every rank's lines as they come, under its number: a test that hangs has shown what failed.
int run(Catch::Session& catch_session, comm::Session& session) {
  core::cpu::Cpu device;
  comm::Mpi world(session);
  tests::Ranks const ranks{session, world, device};
  current = &ranks;
  int64_t failed = 0;
  {
    tests::Prefixed const prefixed(std::cout, core::join("rank ", world.rank(), ": "));
    failed = catch_session.run();
  }
  core::Tensor worst(device, {1}, core::Dtype::i64);
  *worst.data<int64_t>() = failed;
  world.all_reduce(worst, comm::Reduce::max)->wait();
  return static_cast<int>(*worst.data<int64_t>());
}

}  // namespace

tests::Ranks const& tests::ranks() { return *current; }

int main(int argc, char** argv) {
  Catch::Session catch_session;
  int const wrong = catch_session.applyCommandLine(argc, argv);
  auto const& asked = catch_session.configData();
  bool const lists =
      asked.listTests || asked.listTags || asked.listTestNamesOnly || asked.listReporters;
  if (wrong || asked.showHelp || lists) return wrong ? wrong : catch_session.run();

  comm::Session session(argc, argv);
  return session.run([&] { return run(catch_session, session); },
                     [&](std::exception const& error) {
                       std::cerr << "rank " << session.rank() << ": " << error.what() << '\n';
                       return 1;
                     });
}
