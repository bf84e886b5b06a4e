#include "core/cuda/workspace.h"
#include <algorithm>
#include <catch2/catch.hpp>
#include "core/cpu/device.h"
#include "core/cuda/alignment.h"

using namespace core;

TEST_CASE("cuda: several addresses -> largest common alignment up to the limit", "[cuda]") {
  auto const at = [](uintptr_t address) { return reinterpret_cast<void const*>(address); };
  CHECK(cuda::common_alignment({at(512), at(1024)}, 256) == 256);
  CHECK(cuda::common_alignment({at(512), nullptr}, 16) == 16);
  CHECK(cuda::common_alignment({at(512), at(72)}, 16) == 8);
  CHECK(cuda::common_alignment({at(514), at(72)}, 16) == 2);
}

TEST_CASE("cuda: library workspace -> 256-byte aligned and of full size", "[cuda]") {
  cpu::Cpu device;
  for (int64_t const bytes : {int64_t{0}, int64_t{1}, int64_t{131}, int64_t{4096}}) {
    Tensor const before(device, {bytes + 64}, Dtype::u8);  // moves the next allocation to another
                                                           // address
    cuda::Workspace workspace(device, bytes);
    auto* const data = static_cast<std::byte*>(workspace.data());
    CHECK((data == nullptr) == (bytes == 0));
    if (bytes > 0) CHECK(reinterpret_cast<uintptr_t>(data) % 256 == 0);
    std::fill_n(data, bytes, std::byte{1});  // AddressSanitizer reports a workspace that is too
                                             // small
    CHECK(device.memory().now <= static_cast<size_t>(2 * bytes + 1024));
  }
}
