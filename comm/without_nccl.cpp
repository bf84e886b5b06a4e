#include "comm/mpi/communicator.h"
#include "comm/open.h"

namespace comm {

std::unique_ptr<Communicator> open(Session& session, core::Device&) {
  return std::make_unique<Mpi>(session);
}

}  // namespace comm
