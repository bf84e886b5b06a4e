#include "train/model/open_device.h"
#include <algorithm>
#include <cstring>
#include <set>
#include <thread>
#include <unistd.h>
#include "comm/mpi/communicator.h"
#include "core/cpu/device.h"
#include "core/cuda/open.h"
#include "train/errors.h"

namespace train {
namespace {

using core::cuda::Uuid;

/// Returns true if every rank has a GPU of its own. `mine`: all zeros without a GPU.
bool one_each(Uuid const& mine, comm::Session& session) {
  core::cpu::Cpu host(1);
  comm::Mpi ranks(session);
  int64_t const size = ranks.size();
  core::Tensor id(host, {std::ssize(mine)}, core::Dtype::u8);
  core::Tensor ids(host, {size, std::ssize(mine)}, core::Dtype::u8);
  host.upload(mine.data(), id);
  ranks.all_gather(id, ids)->wait();
  std::vector<Uuid> all(static_cast<size_t>(size));
  host.download(ids, all.data());
  std::set<Uuid> const different(all.begin(), all.end());
  return std::ssize(different) == size && !different.contains(Uuid{});
}

}  // namespace

int threads_of(RunConfig const& run, int ranks) {
  if (run.threads) return *run.threads;
  auto const seen = static_cast<int>(std::thread::hardware_concurrency());
  auto const online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  int const share = std::max(1, online / ranks);
  return std::max(1, seen <= share ? seen : seen / ranks);
}

std::unique_ptr<core::Device> open_device(Experiment const& experiment, comm::Session& session) {
  auto const gpus =
      experiment.device == DeviceChoice::cpu ? core::cuda::Available{} : core::cuda::available();
  int const index = gpus.count == 0 ? 0 : session.local_rank() % gpus.count;
  if (experiment.device == DeviceChoice::cuda && gpus.count == 0)
    throw ConfigError(core::join("device: cuda, but rank ", session.rank(), " has no usable GPU: ",
                                 gpus.why_none, "; use device: cpu or auto"));
  bool const use_gpu = experiment.device == DeviceChoice::cuda ||
                       (experiment.device == DeviceChoice::automatic &&
                        one_each(gpus.count == 0 ? Uuid{} : core::cuda::uuid(index), session));
  if (use_gpu) return core::cuda::open(index, {experiment.run.tf32, experiment.run.deterministic});
  return std::make_unique<core::cpu::Cpu>(threads_of(experiment.run, session.local_size()));
}

}  // namespace train
