#pragma once
#include "tests/support/fake_cuda/fake_cuda.h"

namespace tests::fake_cuda {

/// Applies settings during its lifetime. Runs everything that is queued before each change.
class Under {
 public:
  explicit Under(Settings const& now) : before_(settings()) {
    finish();
    set(now);
  }
  ~Under() {
    finish();
    set(before_);
  }
  Under(Under const&) = delete;
  Under& operator=(Under const&) = delete;

 private:
  Settings before_;
};

}  // namespace tests::fake_cuda
