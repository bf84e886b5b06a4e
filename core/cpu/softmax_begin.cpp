#include <limits>
#include "core/cpu/kernels.h"

namespace core::cpu {

void CpuKernels::softmax_begin(Tensor& stats) {
  visit_floating(stats.dtype(), [&]<class T>() {
    for (int64_t i = 0; i < stats.count(); i += 3) {
      T* row = stats.data<T>() + i;
      row[0] = T(-std::numeric_limits<float>::infinity());
      row[1] = row[2] = T(0.0f);
    }
  });
}

}  // namespace core::cpu
