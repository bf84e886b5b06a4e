#include "core/cuda/open.h"

namespace core::cuda {

bool built() { return false; }

Available available() { return {0, "this program was built without CUDA"}; }

Uuid uuid(int) { fail("", available().why_none); }

std::unique_ptr<Device> open(int, Options const&) { fail("", available().why_none); }

}  // namespace core::cuda
