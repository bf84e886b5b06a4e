#include "core/cpu/kernels.h"
#include "core/cpu/parallel.h"
#include "core/dispatch.h"
#include "core/math/sgd.h"

namespace core::cpu {

void CpuKernels::sgd(SgdStep const& step, Tensor const& g, Tensor& w, Tensor& velocity,
                     Tensor& copy) {
  visit_wide(w.dtype(), [&]<class W>() {
    math::Sgd<W> const rule{static_cast<W>(*step.rate.data<double>()),
                            static_cast<W>(step.momentum), static_cast<W>(step.decay),
                            step.nesterov};
    with(step.momentum != 0, [&](auto has_momentum) {
      with(bool(copy), [&](auto has_copy) {
        for_elements(w.count(), [=, slope = g.data<W>(), weight = w.data<W>(),
                                 speed = data_or_null<W>(velocity),
                                 rounded = data_or_null<bf16>(copy)](int64_t i) {
          if constexpr (has_momentum)
            rule(slope[i], weight[i], speed[i]);
          else
            rule(slope[i], weight[i]);
          if constexpr (has_copy) rounded[i] = bf16(static_cast<float>(weight[i]));
        });
      });
    });
  });
}

}  // namespace core::cpu
