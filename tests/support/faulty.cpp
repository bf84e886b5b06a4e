// Runs under mpirun and fails on rank 1 in the way selected by its argument, while the other ranks
// continue. tests/comm/failure_test.cpp checks how the run ends.
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <thread>
#include "comm/buckets.h"
#include "comm/mpi/communicator.h"
#include "core/cpu/device.h"

namespace {

using core::Tensor;

struct Run {
  comm::Session& session;
  core::Device& device;
  comm::Communicator& world;
  bool faulty;  ///< True on the rank that fails.

  Tensor some() const {
    Tensor t(device, {1000}, core::Dtype::f64);
    std::fill_n(t.data<double>(), t.count(), 1.0);
    return t;
  }
  void reduce() const {
    Tensor t = some();
    world.all_reduce(t, comm::Reduce::sum)->wait();
  }
};

void throws(Run const& run) {
  if (run.faulty) core::fail("deliberate failure on rank 1");
  run.reduce();
}

void throws_with_collectives_under_way(Run const& run) {
  Tensor a = run.some(), b = run.some();
  auto const first = run.world.all_reduce(a, comm::Reduce::sum);
  auto const second = run.world.all_reduce(b, comm::Reduce::sum);
  throws(run);
}

void lacks_a_gradient(Run const& run) {
  std::vector<core::Parameter> parameters(3);
  std::vector<core::Parameter*> pointers;
  for (core::Parameter& p : parameters) {
    p.name = core::join("p", pointers.size());
    p.value = p.grad = run.some();
    pointers.push_back(&p);
  }
  comm::GradientBuckets buckets(run.world, pointers, 1);
  for (core::Parameter& p : parameters)
    if (!run.faulty || p.name != "p1") p.ready(p);
  buckets.finish();
}

void calls_something_else(Run const& run) {
  Tensor t = run.some();
  if (run.faulty)
    run.world.broadcast(t, 1)->wait();
  else
    run.reduce();
}

void hangs(Run const& run) {
  if (run.faulty) std::this_thread::sleep_for(std::chrono::minutes(1));
  run.reduce();
}

void is_killed(Run const& run) {
  if (run.faulty) std::raise(SIGKILL);
  run.reduce();
}

void all_throw(Run const& run) {
  if (run.world.size() > 0) core::fail("all ranks throw");
}

int body(comm::Session& session, std::string const& fault) {
  std::map<std::string, void (*)(Run const&)> const faults{
      {"nothing", [](Run const& run) { run.reduce(); }},
      {"throws", throws},
      {"throws_with_collectives_under_way", throws_with_collectives_under_way},
      {"lacks_a_gradient", lacks_a_gradient},
      {"calls_something_else", calls_something_else},
      {"hangs", hangs},
      {"is_killed", is_killed},
      {"all_throw", all_throw}};
  core::cpu::Cpu device(1);
  comm::Mpi world(session);
  faults.at(fault)({session, device, world, world.rank() == 1});
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  comm::Session session(argc, argv, std::chrono::seconds(2));
  return session.run([&] { return body(session, argv[1]); },
                     [&](std::exception const& error) {
                       std::cerr << "rank " << session.rank() << ": " << error.what() << std::endl;
                       return dynamic_cast<comm::Timeout const*>(&error) ? 75 : 70;
                     });
}
