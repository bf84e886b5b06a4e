#pragma once
#include <chrono>
#include "core/check.h"

namespace comm {

using Clock = std::chrono::steady_clock;

/// Other ranks did not join a collective in time. All later collectives fail too.
struct Timeout : core::Error {
  using Error::Error;
};

}  // namespace comm
