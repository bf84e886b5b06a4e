#pragma once
#include <chrono>
#include "core/check.h"

namespace comm {

using Clock = std::chrono::steady_clock;

/// Other ranks did not come to a collective in time. After it no collective works any more.
struct Timeout : core::Error {
  using Error::Error;
};

}  // namespace comm
