#pragma once
#include <cstddef>
#include <nccl.h>
#include <string>

namespace tests::fake_cuda {

enum class Kind { all_reduce, all_gather, reduce_scatter, broadcast, reduce, send, receive };

/// Name of the function in NCCL's API.
char const* name_of(Kind kind);

/// Bytes of an element; 0 for a type that Colonnade does not use.
size_t width_of(ncclDataType_t type);

/// A call of a collective, a send or a receive.
struct Call {
  Kind kind;
  std::byte const* from;  ///< null where nothing is read
  std::byte* to;          ///< null where nothing is written
  size_t count;           ///< number of elements; per rank for all_gather and reduce_scatter
  ncclDataType_t type;
  ncclRedOp_t how = ncclSum;
  int peer = 0;  ///< root, or the other rank of send and receive

  size_t bytes() const { return count * width_of(type); }
  /// Bytes read from `from` and written to `to` by a rank of `size`.
  size_t read(int rank, int size) const;
  size_t written(int rank, int size) const;
  bool point_to_point() const { return kind == Kind::send || kind == Kind::receive; }
  /// "ncclAllReduce of 12 f32, sum".
  std::string describe() const;
};

/// True if both are calls of the same collective, as all ranks must make them.
bool agree(Call const& a, Call const& b);

}  // namespace tests::fake_cuda
