#include "comm/mesh.h"
#include "comm/self.h"

namespace comm {
namespace {

/// The divisors of `number`: "1, 2, 4".
std::string divisors(int number) {
  std::string text = "1";
  for (int divisor = 2; divisor <= number; ++divisor)
    if (number % divisor == 0) text += core::join(", ", divisor);
  return text;
}

}  // namespace

Mesh::Mesh(Communicator& world, int shards) : world_(world) {
  int const size = world.size(), rank = world.rank();
  if (shards == 0) shards = size;
  core::check(shards > 0 && size % shards == 0, "mesh: ", size, " ranks in rows of ", shards,
              " shards; the number of shards must divide the number of ranks: ", divisors(size),
              ", or 0 for all ranks");
  if (shards == size) {
    replicas_ = std::make_unique<Self>();
  } else if (shards == 1) {
    shards_ = std::make_unique<Self>();
  } else {
    shards_ = world.split(rank / shards);
    replicas_ = world.split(rank % shards);
  }
}

}  // namespace comm
