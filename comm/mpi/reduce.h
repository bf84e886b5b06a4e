#pragma once
#include "comm/communicator.h"

namespace comm {

/// Computes out[i] as the reduction of part[i] over `parts`, in the order of the list. `out` may be
/// one of the parts.
/// Throws: core::Error unless `dtype` is f32, f64, i32 or i64.
void reduce(Reduce how, core::Dtype dtype, std::vector<std::byte const*> const& parts,
            int64_t count, std::byte* out);

}  // namespace comm
