// One optimizer step on CUDA: rules, dtypes, rounding.
#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Order;
using tests::host_cuda::Under;

namespace {

/// A seeded rule at step 3.
UpdateRule rule_of(Device& device, Rule kind, double momentum, double decay = 0,
                   bool nesterov = false) {
  UpdateRule rule;
  rule.kind = kind;
  rule.momentum = momentum;
  rule.decay = decay;
  rule.nesterov = nesterov;
  rule.step_scalars = make_step_scalars(device, rule, 0.1, 3);
  rule.seed = 11;
  return rule;
}

std::vector<UpdateRule> all_rules(Device& device) {
  return {rule_of(device, Rule::sgd, 0, 0.01), rule_of(device, Rule::sgd, 0.9),
          rule_of(device, Rule::sgd, 0.9, 0.01, true), rule_of(device, Rule::adam, 0.9, 0.01),
          rule_of(device, Rule::adamw, 0.9, 0.01)};
}

/// Inputs of a step, in f64.
struct Start {
  Tensor g, w, first, second, trust;

  Start(Device& device, Shape const& shape, Dtype wide, Dtype kept) {
    auto const rounded = [&](Tensor const& t, Dtype dtype) {
      return tests::as(tests::as(t, dtype), Dtype::f64);
    };
    g = rounded(tests::random(device, shape, Dtype::f64, 1), wide);
    w = rounded(tests::random(device, shape, Dtype::f64, 2), kept);
    first = rounded(tests::random(device, shape, Dtype::f64, 3), kept);
    auto squares = tests::values(tests::random(device, shape, Dtype::f64, 4));
    for (double& value : squares) value *= value;
    second = rounded(tests::tensor<double>(device, shape, squares), kept);
    trust = rounded(tests::random(device, {shape[0]}, Dtype::f64, 5), wide);
  }
};

struct Layout {
  Dtype wide, w, first, second;
  bool copy, aligned, trust;
};

/// The arrays after one step; copies are filled with other bits before.
UpdateState stepped(Kernels& kernels, UpdateRule const& rule, Start const& start,
                    Layout const& layout, int64_t first_row = 0) {
  auto const made = [&](Tensor const& t, Dtype dtype) {
    Tensor const narrow = tests::as(t, dtype);
    return layout.aligned ? narrow : unaligned(narrow);
  };
  UpdateState state{made(start.w, layout.w), {}, {}, {}};
  if (rule.kind != Rule::sgd || rule.momentum != 0) state.first = made(start.first, layout.first);
  if (rule.kind != Rule::sgd) state.second = made(start.second, layout.second);
  if (layout.copy) state.copy = made(start.first, Dtype::bf16);
  Tensor const trust = layout.trust ? tests::as(start.trust, layout.wide) : Tensor{};
  kernels.update(rule, first_row, trust, made(start.g, layout.wide), state);
  return state;
}

/// Within rounding of the f64 result; bf16 may differ by one unit in the last place, because it is
/// rounded stochastically.
void close(Tensor const& got, Tensor const& exact) {
  CHECK(bool(got) == bool(exact));
  if (!exact) return;
  if (got.dtype() != Dtype::bf16) {
    CHECK(tests::distance(got, exact) < (got.dtype() == Dtype::f64 ? 1e-14 : 1e-6));
    return;
  }
  auto const values = tests::values(got), want = tests::values(exact);
  for (size_t i = 0; i < values.size(); ++i)
    if (!(std::abs(values[i] - want[i]) <= std::abs(want[i]) * 0x1p-7 + 1e-6))
      FAIL_CHECK(values[i] << " for " << want[i]);
}

void agrees_with_f64(Gpu& gpu, UpdateRule const& rule, Shape const& shape, Layout const& layout) {
  bool const narrow =
      layout.w == Dtype::bf16 || layout.first == Dtype::bf16 || layout.second == Dtype::bf16;
  Start const start(gpu.device, shape, layout.wide, narrow ? Dtype::bf16 : layout.wide);
  auto constexpr f64 = Dtype::f64;
  UpdateState const exact =
      stepped(gpu.cpu, rule, start, {f64, f64, f64, f64, false, true, layout.trust});
  UpdateState const fast = stepped(gpu.kernels, rule, start, layout);
  close(fast.w, exact.w);
  close(fast.first, exact.first);
  close(fast.second, exact.second);
  if (layout.copy) CHECK(equal(fast.copy, tests::as(fast.w, Dtype::bf16)));
  gpu.device.check_guards();
}

}  // namespace

TEST_CASE("CUDA update: every rule -> within rounding of f64", "[kernels][update]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const size = GENERATE(int64_t{0}, from_range(odd_sizes));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (UpdateRule const& rule : all_rules(gpu.device))
    for (bool const aligned : {true, false})
      agrees_with_f64(gpu, rule, {size},
                      {dtype, dtype, dtype, dtype, aligned == (size % 2 == 0), aligned, false});
}

TEST_CASE("CUDA update: any mix of bf16 and f32 arrays -> within rounding of f64",
          "[kernels][update]") {
  Gpu gpu;
  Under const under({.order = Order::shuffled});
  auto const size = GENERATE(from_range(odd_sizes));
  for (UpdateRule const& rule : all_rules(gpu.device))
    for (int narrow = 1; narrow < 8; ++narrow) {
      auto const dtype = [&](int bit) { return narrow & bit ? Dtype::bf16 : Dtype::f32; };
      agrees_with_f64(gpu, rule, {size},
                      {Dtype::f32, dtype(1), dtype(2), dtype(4), false, size % 3 != 0, false});
    }
}

TEST_CASE("CUDA update_all: aligned and unaligned parameters -> same as one by one",
          "[kernels][update]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  bool const aligned = GENERATE(true, false);
  for (UpdateRule const& rule : all_rules(gpu.device)) {
    std::vector<ParameterUpdate> all;
    std::vector<UpdateState> alone;
    for (int64_t const size : {1, 0, 5000, 33, 4096, 257, 8191}) {
      Start const start(gpu.device, {size}, Dtype::f32, Dtype::f32);
      auto const made = [&](Tensor const& t, Dtype dtype) {
        Tensor const narrow = tests::as(t, dtype);
        return aligned ? narrow : unaligned(narrow);
      };
      auto const state = [&] {
        return UpdateState{made(start.w, Dtype::f32), made(start.first, Dtype::f32),
                           made(start.second, Dtype::f32), made(start.w, Dtype::bf16)};
      };
      all.push_back({made(start.g, Dtype::f32), state()});
      alone.push_back(state());
      gpu.kernels.update(rule, 0, {}, all.back().g, alone.back());
    }
    gpu.kernels.update_all(rule, all);
    gpu.device.check_guards();
    for (size_t i = 0; i < all.size(); ++i) {
      CAPTURE(i);
      CHECK(equal(all[i].state.w, alone[i].w));
      CHECK(equal(all[i].state.first, alone[i].first));
      CHECK(equal(all[i].state.second, alone[i].second));
      CHECK(equal(all[i].state.copy, alone[i].copy));
    }
  }
}

TEST_CASE("CUDA update: stochastic rounding -> same as on the CPU", "[kernels][update]") {
  Gpu gpu;
  auto const dtype = Dtype::bf16;
  Layout const layout{Dtype::f32, dtype, dtype, dtype, false, true, false};
  for (UpdateRule const& rule : all_rules(gpu.device)) {
    Start const start(gpu.device, {3, 257}, Dtype::f32, dtype);
    UpdateState const fast = stepped(gpu.kernels, rule, start, layout, 5'000'000'000),
                      exact = stepped(gpu.cpu, rule, start, layout, 5'000'000'000);
    auto const apart = [](Tensor const& a, Tensor const& b) {
      if (!a) return 0;
      auto const x = tests::values(a), y = tests::values(b);
      int count = 0;
      for (size_t i = 0; i < x.size(); ++i) count += x[i] != y[i];
      return count;
    };
    // The last bit of f32 may differ; it decides the rounding if it reaches the last of 16 random
    // bits.
    CHECK(apart(fast.w, exact.w) <= 1);
    CHECK(apart(fast.first, exact.first) <= 1);
    CHECK(apart(fast.second, exact.second) <= 1);
  }
}

TEST_CASE("CUDA update: the barrier after the key of rounding removed -> wrong in some order",
          "[kernels][update]") {
  Gpu gpu;
  Dtype const dtype = Dtype::bf16;
  Layout const layout{Dtype::f32, dtype, dtype, dtype, false, true, false};
  auto const right = [&](unsigned run) {
    UpdateRule rule = rule_of(gpu.device, Rule::sgd, 0.5);
    rule.seed = run;
    Start const start(gpu.device, {3, 257}, Dtype::f32, dtype);
    UpdateState const fast = stepped(gpu.kernels, rule, start, layout),
                      exact = stepped(gpu.cpu, rule, start, layout);
    return tests::distance(fast.w, exact.w) < 1e-3;  // a single element may differ
  };
  CHECK(tests::host_cuda::unnoticed_barriers(right).empty());
}

TEST_CASE("CUDA update: trust ratio per row -> within rounding of f64", "[kernels][update]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const shape =
      GENERATE(Shape{1, 257}, Shape{33, 1}, Shape{31, 3}, Shape{5, 64}, Shape{2, 33});
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (UpdateRule const& rule : all_rules(gpu.device))
    for (bool const aligned : {true, false})
      agrees_with_f64(gpu, rule, shape, {dtype, dtype, dtype, dtype, false, aligned, true});
}

TEST_CASE("CUDA update: gradient scale -> within rounding of f64; scale 0 -> every bit unchanged",
          "[kernels][update]") {
  Gpu gpu;
  auto const kept = GENERATE(Dtype::f32, Dtype::bf16);
  Layout const layout{Dtype::f32, kept, kept, kept, kept == Dtype::f32, true, false};
  for (UpdateRule rule : all_rules(gpu.device)) {
    rule.gradient_scale = scalar(gpu.device, 0.25);
    agrees_with_f64(gpu, rule, {33}, layout);
    rule.gradient_scale = scalar(gpu.device, 0);
    Start start(gpu.device, {33}, Dtype::f32, kept);
    gpu.cpu.fill(NAN, start.g);
    UpdateState const state = stepped(gpu.kernels, rule, start, layout);
    CHECK(equal(state.w, start.w));
    if (state.first) CHECK(equal(state.first, start.first));
    if (state.second) CHECK(equal(state.second, start.second));
    if (layout.copy) CHECK(equal(state.copy, tests::as(start.first, Dtype::bf16)));
  }
}

TEST_CASE("CUDA update: step scalars changed on the device -> the step uses the new values",
          "[kernels][update]") {
  Gpu gpu;
  UpdateRule rule = rule_of(gpu.device, Rule::sgd, 0);
  gpu.kernels.fill(0.5, rule.step_scalars);
  UpdateState state{tests::tensor<float>(gpu.device, {2}, {1, 1}), {}, {}, {}};
  gpu.kernels.update(rule, 0, {}, tests::tensor<float>(gpu.device, {2}, {2, 4}), state);
  CHECK(tests::values(state.w) == std::vector<double>{0, -1});
}
