// Share of the gradients' all-reduce that overlaps with backward:
//    mpirun -n 2 build/release/bench/overlap [layers] [width]
//  A synthetic backward with one product per layer, which computes the gradient of a (width, width)
//  weight. One compute thread per rank. Results: docs/communication.md.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iomanip>
#include <iostream>
#include "comm/buckets.h"
#include "comm/mpi/communicator.h"
#include "core/cpu/device.h"
#include "core/kernels.h"

namespace {

using core::Dtype;
using core::Tensor;

struct Model {
  Model(core::Device& device, int64_t layers, int64_t width)
      : x(device, {batch, width}, Dtype::f32), dy(device, {batch, width}, Dtype::f32) {
    core::Kernels& kernels = device.kernels();
    kernels.random_normal({1, core::Purpose::synthetic, 0}, 0, 0, 1, x);
    kernels.random_normal({1, core::Purpose::synthetic, 1}, 0, 0, 1, dy);
    parameters.resize(static_cast<size_t>(layers));
    for (core::Parameter& p : parameters) {
      p.value = Tensor(device, {width, width}, Dtype::f32);
      p.grad = Tensor(device, {width, width}, Dtype::f32);
    }
  }

  /// Calls `done` with each parameter once its gradient is computed, the last parameter first.
  void backward(std::function<void(core::Parameter&)> const& done) {
    for (auto p = parameters.rbegin(); p != parameters.rend(); ++p) {
      p->grad = core::empty_like(p->value);
      p->grad.device().kernels().matmul(dy, core::Transpose::yes, x, core::Transpose::no, 1, 0,
                                        p->grad);
      done(*p);
    }
  }

  static constexpr int64_t batch = 256;
  Tensor x, dy;
  std::vector<core::Parameter> parameters;
};

/// Median time of `work` over 11 runs, in milliseconds; all ranks start together.
double median(comm::Communicator& ranks, std::function<void()> const& work) {
  std::vector<double> times;
  for (int run = 0; run < 13; ++run) {
    ranks.barrier();
    auto const begin = std::chrono::steady_clock::now();
    work();
    std::chrono::duration<double, std::milli> const time = std::chrono::steady_clock::now() - begin;
    if (run >= 2) times.push_back(time.count());  // the first two touch fresh memory
  }
  std::nth_element(times.begin(), times.begin() + 5, times.end());
  return times[5];
}

void measure(comm::Communicator& ranks, core::Device& device, int64_t layers, int64_t width) {
  Model model(device, layers, width);
  std::vector<core::Parameter*> pointers;
  for (core::Parameter& p : model.parameters) pointers.push_back(&p);
  comm::GradientBuckets buckets(ranks, pointers);
  auto const nothing = [](core::Parameter&) {};
  auto const ready = [](core::Parameter& p) { p.ready(p); };
  auto const reduce = [&] {
    std::for_each(model.parameters.rbegin(), model.parameters.rend(), ready);
    buckets.finish();
  };

  double const compute = median(ranks, [&] { model.backward(nothing); });
  double const communicate = median(ranks, reduce);
  double const after = median(ranks, [&] {
    model.backward(nothing);
    reduce();
  });
  double const overlapped = median(ranks, [&] {
    model.backward(ready);
    buckets.finish();
  });
  if (ranks.rank() != 0) return;
  std::cout << ranks.size() << " ranks, " << layers << " gradients of "
            << static_cast<double>(width * width) * 4e-6 << " MB, milliseconds\n"
            << std::fixed << std::setprecision(1) << "backward alone      " << compute
            << "\nall-reduce alone    " << communicate << "\none after the other " << after
            << "\noverlapped          " << overlapped << "\nhidden              "
            << 100 * (after - overlapped) / communicate << " % of the all-reduce\n";
}

}  // namespace

int main(int argc, char** argv) {
  comm::Session session(argc, argv);
  core::cpu::Cpu device(1);
  comm::Mpi ranks(session);
  int64_t const layers = argc > 1 ? std::stoll(argv[1]) : 24;
  measure(ranks, device, layers, argc > 2 ? std::stoll(argv[2]) : 1024);
}
