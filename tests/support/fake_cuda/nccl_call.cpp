#include "tests/support/fake_cuda/nccl_call.h"
#include <sstream>

namespace tests::fake_cuda {
namespace {

char const* name_of(ncclDataType_t type) {
  switch (type) {
    case ncclUint8:
      return "u8";
    case ncclInt32:
      return "i32";
    case ncclInt64:
      return "i64";
    case ncclFloat32:
      return "f32";
    case ncclFloat64:
      return "f64";
    case ncclBfloat16:
      return "bf16";
    default:
      return "another type";
  }
}

}  // namespace

char const* name_of(Kind kind) {
  switch (kind) {
    case Kind::all_reduce:
      return "ncclAllReduce";
    case Kind::all_gather:
      return "ncclAllGather";
    case Kind::reduce_scatter:
      return "ncclReduceScatter";
    case Kind::broadcast:
      return "ncclBroadcast";
    case Kind::reduce:
      return "ncclReduce";
    case Kind::send:
      return "ncclSend";
    case Kind::receive:
      return "ncclRecv";
  }
  return "?";
}

size_t width_of(ncclDataType_t type) {
  switch (type) {
    case ncclUint8:
      return 1;
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

size_t Call::read(int rank, int size) const {
  switch (kind) {
    case Kind::reduce_scatter:
      return bytes() * static_cast<size_t>(size);
    case Kind::broadcast:
      return rank == peer ? bytes() : 0;
    case Kind::receive:
      return 0;
    default:
      return bytes();
  }
}

size_t Call::written(int rank, int size) const {
  switch (kind) {
    case Kind::all_gather:
      return bytes() * static_cast<size_t>(size);
    case Kind::reduce:
      return rank == peer ? bytes() : 0;
    case Kind::send:
      return 0;
    default:
      return bytes();
  }
}

std::string Call::describe() const {
  std::ostringstream text;
  text << name_of(kind) << " of " << count << ' ' << name_of(type);
  if (kind == Kind::all_reduce || kind == Kind::reduce_scatter || kind == Kind::reduce)
    text << ", " << (how == ncclSum ? "sum" : "max");
  if (kind == Kind::broadcast || kind == Kind::reduce) text << ", root " << peer;
  if (point_to_point()) text << ", rank " << peer;
  return text.str();
}

bool agree(Call const& a, Call const& b) {
  return a.kind == b.kind && a.count == b.count && a.type == b.type && a.how == b.how &&
         a.peer == b.peer;
}

}  // namespace tests::fake_cuda
