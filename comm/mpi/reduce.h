#pragma once
#include "comm/communicator.h"

namespace comm {

/// out[i] := the reduction of part[i] over `parts`, always in the order they are listed. f32, f64,
/// i32, i64. `out` may be one of the parts.
void reduce(Reduce how, core::Dtype dtype, std::vector<std::byte const*> const& parts,
            int64_t count, std::byte* out);

}  // namespace comm
