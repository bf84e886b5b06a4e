#include "comm/open.h"
#include "comm/mpi/communicator.h"
#include "comm/nccl/communicator.h"

namespace comm {

std::unique_ptr<Communicator> open(Session& session, core::Device& device) {
  auto hosts = std::make_unique<Mpi>(session);
  auto* const gpu = dynamic_cast<core::cuda::Cuda*>(&device);
  if (gpu == nullptr) return hosts;
  return std::make_unique<Nccl>(std::move(hosts),
                                std::make_shared<NcclStream>(*gpu, session.stream().timeout()));
}

}  // namespace comm
