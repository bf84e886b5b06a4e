// Runs the rank tests under mpirun: every rank runs every test, and the run fails if any rank does.
#include <iostream>
#include "comm/open.h"
#include "tests/support/command_line.h"
#include "tests/support/prefixed.h"
#include "tests/support/ranks.h"

namespace {

tests::Ranks const* current = nullptr;

/// Prefixes every rank's lines with its number and writes them at once, so that a hanging test has
/// already shown its failures.
int run(tests::Asked const& asked, comm::Session& session) {
  tests::Devices const devices(asked.device, session.local_rank());
  auto const opened = comm::open(session, tests::device());
  comm::Communicator& world = *opened;
  tests::Ranks const ranks{session, world};
  current = &ranks;
  int64_t failed = 0;
  {
    tests::Prefixed const prefixed(std::cout, core::join("rank ", world.rank(), ": "));
    failed = asked.run();
  }
  core::Tensor worst(tests::device(), {1}, core::Dtype::i64);
  tests::device().upload(&failed, worst);
  world.all_reduce(worst, comm::Reduce::max)->wait();
  tests::device().download(worst, &failed);
  return static_cast<int>(failed);
}

}  // namespace

tests::Ranks const& tests::ranks() { return *current; }

int main(int argc, char** argv) {
  return tests::command_line(argc, argv, [&](tests::Asked const& asked) {
    comm::Session session(argc, argv);
    return session.run([&] { return run(asked, session); },
                       [&](std::exception const& error) {
                         std::cerr << "rank " << session.rank() << ": " << error.what() << '\n';
                         return 1;
                       });
  });
}
