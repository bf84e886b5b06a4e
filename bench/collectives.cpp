// Time of collectives between the ranks of this run, compared with MPI's own:
//    mpirun -n 2 build/release/bench/collectives [bytes per message]
#include <algorithm>
#include <chrono>
#include <functional>
#include <iomanip>
#include <iostream>
#include "comm/mpi/communicator.h"
#include "core/cpu/device.h"

namespace {

using core::Dtype;
using core::Tensor;

/// Median time of `work` over `runs` runs, in microseconds; all ranks start together.
double median(comm::Communicator& ranks, int runs, std::function<void()> const& work) {
  std::vector<double> times;
  for (int run = 0; run < runs + 2; ++run) {
    ranks.barrier();
    auto const begin = std::chrono::steady_clock::now();
    work();
    std::chrono::duration<double, std::micro> const time = std::chrono::steady_clock::now() - begin;
    if (run >= 2) times.push_back(time.count());  // the first two touch fresh memory
  }
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<size_t>(runs / 2)];
}

void print(comm::Session const& session, std::string const& what, double ours, double theirs) {
  if (session.rank() != 0) return;
  std::cout << std::setw(32) << std::left << what << std::right << std::fixed
            << std::setprecision(1) << std::setw(12) << ours << std::setw(12) << theirs << '\n';
}

void measure(comm::Session& session, comm::Mpi& ranks, core::Device& device, int64_t bytes) {
  int const runs = bytes > 1 << 20 ? 11 : 1001;
  int64_t const count = bytes / 4, share = count / ranks.size();
  std::string const size = core::join(" of ", bytes, " bytes");
  Tensor all(device, {share * ranks.size()}, Dtype::f32), mine(device, {share}, Dtype::f32);
  std::fill_n(all.data<float>(), all.count(), 0.F);
  std::fill_n(mine.data<float>(), mine.count(), 0.F);
  comm::Counts const counts(static_cast<size_t>(ranks.size()), share);
  int const n = static_cast<int>(all.count()), part = static_cast<int>(share);

  print(session, "all_reduce" + size,
        median(ranks, runs, [&] { ranks.all_reduce(all, comm::Reduce::sum)->wait(); }),
        median(ranks, runs, [&] {
          MPI_Allreduce(MPI_IN_PLACE, all.raw(), n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        }));
  print(session, "reduce_scatter" + size,
        median(ranks, runs, [&] { ranks.reduce_scatter(all, counts, mine)->wait(); }),
        median(ranks, runs, [&] {
          MPI_Reduce_scatter_block(all.raw(), mine.raw(), part, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        }));
  print(session, "all_gather" + size,
        median(ranks, runs, [&] { ranks.all_gather(mine, counts, all)->wait(); }),
        median(ranks, runs, [&] {
          MPI_Allgather(mine.raw(), part, MPI_FLOAT, all.raw(), part, MPI_FLOAT, MPI_COMM_WORLD);
        }));
}

}  // namespace

int main(int argc, char** argv) {
  comm::Session session(argc, argv);
  core::cpu::Cpu device(1);
  size_t const message_bytes = argc > 1 ? std::stoul(argv[1]) : comm::Mpi::default_message_bytes;
  comm::Mpi ranks(session, message_bytes);
  if (session.rank() == 0)
    std::cout << ranks.size() << " ranks, microseconds          " << std::setw(12) << "colonnade"
              << std::setw(12) << "MPI" << '\n';
  for (int64_t const bytes : {64, 4096, 65536, 1 << 22, 100'000'000})
    measure(session, ranks, device, bytes);
}
