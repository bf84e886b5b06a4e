// One optimizer step, against PyTorch's formulas.
#include "core/update.h"
#include "core/cpu/device.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

UpdateRule with_rate(Device& device, UpdateRule rule, double rate, int64_t step = 1) {
  rule.step_scalars = make_step_scalars(device, rule, rate, step);
  return rule;
}

UpdateRule rule_of(Rule kind, double momentum = 0, double decay = 0, bool nesterov = false) {
  UpdateRule rule;
  rule.kind = kind;
  rule.momentum = momentum;
  rule.decay = decay;
  rule.nesterov = nesterov;
  return rule;
}

/// Every rule, with and without each of its options.
std::vector<UpdateRule> all_rules() {
  return {rule_of(Rule::sgd),
          rule_of(Rule::sgd, 0, 0.1),
          rule_of(Rule::sgd, 0.9),
          rule_of(Rule::sgd, 0.9, 0.1),
          rule_of(Rule::sgd, 0.9, 0.1, true),
          rule_of(Rule::adam, 0.9),
          rule_of(Rule::adam, 0.8, 0.1),
          rule_of(Rule::adamw, 0.9, 0.1)};
}

/// w = 1 with zero moments, after three steps of learning rate 0.1 with gradients 0.5, -0.25 and 1.
double after_three(Device& device, UpdateRule const& rule, Dtype dtype) {
  auto const one = [&](double value) { return tests::tensor(device, {1}, dtype, {value}); };
  UpdateState state{one(1), one(0), one(0), {}};
  int64_t step = 0;
  for (double const g : {0.5, -0.25, 1.0})
    device.kernels().update(with_rate(device, rule, 0.1, ++step), 0, {}, one(g), state);
  return tests::value(state.w);
}

/// The rules as plain f64 loops, from PyTorch's documentation of SGD, Adam and AdamW.
struct Plain {
  std::vector<double> w, first, second;

  void step(UpdateRule const& rule, double rate, double t, std::vector<double> const& g,
            double factor = 1, double trust = 1) {
    for (size_t i = 0; i < w.size(); ++i) {
      bool const decoupled = rule.kind == Rule::adamw;
      double const slope = trust * (factor * g[i] + (decoupled ? 0 : rule.decay) * w[i]);
      if (decoupled) w[i] = w[i] - rate * rule.decay * w[i];
      rule.kind == Rule::sgd ? sgd(rule, rate, slope, i) : adam(rule, rate, t, slope, i);
    }
  }

 private:
  void sgd(UpdateRule const& rule, double rate, double slope, size_t i) {
    if (rule.momentum != 0) {
      first[i] = rule.momentum * first[i] + slope;
      slope = rule.nesterov ? slope + rule.momentum * first[i] : first[i];
    }
    w[i] = w[i] - rate * slope;
  }
  void adam(UpdateRule const& rule, double rate, double t, double slope, size_t i) {
    first[i] = rule.momentum * first[i] + (1 - rule.momentum) * slope;
    second[i] = rule.second * second[i] + (1 - rule.second) * slope * slope;
    double const mean = first[i] / (1 - std::pow(rule.momentum, t));
    double const square = second[i] / (1 - std::pow(rule.second, t));
    w[i] = w[i] - rate * mean / (std::sqrt(square) + rule.epsilon);
  }
};

std::vector<double> squared(std::vector<double> values) {
  for (double& value : values) value *= value;
  return values;
}

/// Random arrays for one step; `kept` is the dtype of weights and moments.
struct Drawn {
  Tensor g;
  UpdateState state;
  Plain plain;

  Drawn(Device& device, Shape const& shape, Dtype kept, Dtype wide, UpdateRule const& rule) {
    bool const adam = rule.kind != Rule::sgd;
    g = tests::random(device, shape, wide, 1);
    state.w = tests::random(device, shape, kept, 2);
    if (adam || rule.momentum != 0) state.first = tests::random(device, shape, kept, 3);
    if (adam) {
      auto const numbers = squared(tests::values(tests::random(device, shape, kept, 4)));
      state.second = tests::tensor(device, shape, kept, numbers);
    }
    plain.w = tests::values(state.w);
    if (state.first) plain.first = tests::values(state.first);
    if (state.second) plain.second = tests::values(state.second);
  }

  void check(double bound) const {
    CHECK(tests::distance(tests::values(state.w), plain.w) < bound);
    if (state.first) CHECK(tests::distance(tests::values(state.first), plain.first) < bound);
    if (state.second) CHECK(tests::distance(tests::values(state.second), plain.second) < bound);
  }
};

double elementwise_bound(Dtype dtype) {
  return dtype == Dtype::f64 ? 1e-14 : tests::f32_elementwise;
}

}  // namespace

TEST_CASE("update: three steps by hand -> weights of PyTorch's SGD, Adam and AdamW", "[update]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const after = [&](UpdateRule const& rule) { return after_three(device, rule, dtype); };
  // 1 - 0.1 (0.5 - 0.25 + 1)
  CHECK(after(rule_of(Rule::sgd)) == Approx(0.875));
  // g = 0.6, w = 0.94; g = -0.156, w = 0.9556; g = 1.09556, w = 0.846044
  CHECK(after(rule_of(Rule::sgd, 0, 0.1)) == Approx(0.846044));
  // v = 0.5, w = 0.95; v = 0.2, w = 0.93; v = 1.18, w = 0.812
  CHECK(after(rule_of(Rule::sgd, 0.9)) == Approx(0.812));
  // v = 0.5, d = 0.95, w = 0.905; v = 0.2, d = -0.07, w = 0.912; v = 1.18, d = 2.062, w = 0.7058
  CHECK(after(rule_of(Rule::sgd, 0.9, 0, true)) == Approx(0.7058));
  // g = 0.6, v = 0.6, d = 1.14, w = 0.886; g = -0.1614, v = 0.3786, d = 0.17934, w = 0.868066;
  // g = 1.0868066, v = 1.4275466, d = 2.37159854, w = 0.630906146
  CHECK(after(rule_of(Rule::sgd, 0.9, 0.1, true)) == Approx(0.630906146));
  // m = 0.05, v = 0.00025, m' = 0.5, v' = 0.25, w = 0.9; m = 0.02, v = 0.00031225,
  // m' = 0.105263158, v' = 0.156203102, w = 0.873366301; m = 0.118, v = 0.00131193775,
  // m' = 0.435424354, v' = 0.437749846, w = 0.807555140
  CHECK(after(rule_of(Rule::adam, 0.9)) == Approx(0.807555140));
  // Decay is added to the gradients: g = 0.6, w = 0.9; g = -0.16, m' = 0.2, v' = 0.192716358, w =
  // 0.854441367; g = 1.085444137, m' = 0.526732154, v' = 0.521535940, w = 0.781504400
  CHECK(after(rule_of(Rule::adam, 0.9, 0.1)) == Approx(0.781504400));
  // The changes without decay are -0.1, -0.026633701 and -0.065811159; each is applied after the
  // weights shrink by 1 %: 0.89, 0.854466299, 0.780110477
  CHECK(after(rule_of(Rule::adamw, 0.9, 0.1)) == Approx(0.780110477));
}

TEST_CASE("update: every rule and size -> within rounding of plain loops", "[update]") {
  Device& device = tests::device();
  auto const size = GENERATE(0, 1, 31, 32, 33, 255, 257, 70001);
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (UpdateRule const& rule : all_rules()) {
    CAPTURE(size, dtype, int(rule.kind), rule.momentum, rule.decay, rule.nesterov);
    Drawn r(device, {size}, dtype, dtype, rule);
    r.state.copy = Tensor(device, {size}, Dtype::bf16);
    for (int64_t const step : {7, 8}) {
      device.kernels().update(with_rate(device, rule, 0.1, step), 0, {}, r.g, r.state);
      r.plain.step(rule, 0.1, double(step), tests::values(r.g));
    }
    r.check(elementwise_bound(dtype));
    CHECK(tests::values(r.state.copy) == tests::values(tests::as(r.state.w, Dtype::bf16)));
  }
}

TEST_CASE("update: bf16 weights and moments -> within one unit in the last place of plain loops",
          "[update]") {
  Device& device = tests::device();
  auto const size = GENERATE(0, 1, 31, 32, 33, 255, 257, 1000);
  for (UpdateRule const& rule : all_rules()) {
    Drawn r(device, {size}, Dtype::bf16, Dtype::f32, rule);
    device.kernels().update(with_rate(device, rule, 0.1, 7), 0, {}, r.g, r.state);
    r.plain.step(rule, 0.1, 7, tests::values(r.g));
    r.check(tests::bf16_rounding);
    for (auto const& [got, want] :
         {std::pair{r.state.w, r.plain.w}, std::pair{r.state.first, r.plain.first},
          std::pair{r.state.second, r.plain.second}}) {
      if (!got) continue;
      auto const values = tests::values(got);
      for (size_t i = 0; i < values.size(); ++i)  // f32 may round 1 + x either way
        CHECK(std::abs(values[i] - want[i]) <= std::abs(want[i]) * 0x1p-7 + 1e-6);
    }
  }
}

TEST_CASE("update: any mix of bf16 and f32 arrays -> within rounding of plain loops", "[update]") {
  Device& device = tests::device();
  UpdateRule const rule = with_rate(device, rule_of(Rule::adam, 0.9), 0.1, 3);
  for (int narrow = 0; narrow < 8; ++narrow) {
    Drawn r(device, {257}, Dtype::bf16, Dtype::f32, rule);
    auto const dtype = [&](int bit) { return narrow & bit ? Dtype::bf16 : Dtype::f32; };
    r.state.w = tests::as(r.state.w, dtype(1));
    r.state.first = tests::as(r.state.first, dtype(2));
    r.state.second = tests::as(r.state.second, dtype(4));
    device.kernels().update(rule, 0, {}, r.g, r.state);
    r.plain.step(rule, 0.1, 3, tests::values(r.g));
    auto const bound = [&](int bit) {
      return narrow & bit ? tests::bf16_rounding : tests::f32_elementwise;
    };
    CHECK(tests::distance(tests::values(r.state.w), r.plain.w) < bound(1));
    CHECK(tests::distance(tests::values(r.state.first), r.plain.first) < bound(2));
    CHECK(tests::distance(tests::values(r.state.second), r.plain.second) < bound(4));
  }
}

TEST_CASE("update: f64 weights with bf16 moments -> error", "[update]") {
  Device& device = tests::device();
  UpdateRule const rule = with_rate(device, rule_of(Rule::sgd, 0.9), 0.1);
  Drawn r(device, {3}, Dtype::f64, Dtype::f64, rule);
  r.state.first = tests::as(r.state.first, Dtype::bf16);
  CHECK_THROWS_WITH(device.kernels().update(rule, 0, {}, r.g, r.state),
                    Catch::Contains("bf16 read as f64"));
}

TEST_CASE("update: gradient scale 0.25 -> multiplies the gradient, not the decay", "[update]") {
  Device& device = tests::device();
  for (UpdateRule rule : all_rules()) {
    Drawn r(device, {33}, Dtype::f64, Dtype::f64, rule);
    rule.gradient_scale = scalar(device, 0.25);
    device.kernels().update(with_rate(device, rule, 0.1, 2), 0, {}, r.g, r.state);
    r.plain.step(rule, 0.1, 2, tests::values(r.g), 0.25);
    r.check(1e-14);
  }
}

TEST_CASE("update: gradient scale 0 -> every bit unchanged, for any gradient", "[update]") {
  Device& device = tests::device();
  auto const kept = GENERATE(Dtype::f32, Dtype::bf16);
  for (UpdateRule rule : all_rules()) {
    Drawn r(device, {33}, kept, Dtype::f32, rule);
    r.state.copy = tests::random(device, {33}, Dtype::bf16, 9);
    rule.gradient_scale = scalar(device, 0);
    auto const bytes = [&] {
      std::string all = tests::bytes(r.state.w) + tests::bytes(r.state.copy);
      if (r.state.first) all += tests::bytes(r.state.first);
      return r.state.second ? all + tests::bytes(r.state.second) : all;
    };
    auto const before = bytes();
    for (double const g : {1.0, double(INFINITY), double(NAN)}) {
      device.kernels().fill(g, r.g);
      device.kernels().update(with_rate(device, rule, 0.1, 2), 0, {}, r.g, r.state);
      CHECK(bytes() == before);
    }
  }
}

TEST_CASE("update: trust ratios -> multiply the gradient of each row", "[update]") {
  Device& device = tests::device();
  auto const width = GENERATE(1, 3, 31, 64, 600);
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  UpdateRule const rule = with_rate(device, rule_of(Rule::sgd, 0.9, 0.1), 0.1);
  Drawn r(device, {5, width}, dtype, dtype, rule);
  std::vector<double> const trust{1, 0.5, 2, 0.25, 4};
  device.kernels().update(rule, 0, tests::tensor(device, {5}, dtype, trust), r.g, r.state);
  auto const g = tests::values(r.g);
  Plain joined;
  for (int64_t row = 0; row < 5; ++row) {
    auto const part = [&](std::vector<double> const& all) {
      return std::vector<double>(all.begin() + row * width, all.begin() + (row + 1) * width);
    };
    Plain one{part(r.plain.w), part(r.plain.first), {}};
    one.step(rule, 0.1, 1, part(g), 1, trust[size_t(row)]);
    joined.w.insert(joined.w.end(), one.w.begin(), one.w.end());
    joined.first.insert(joined.first.end(), one.first.begin(), one.first.end());
  }
  r.plain = joined;
  r.check(elementwise_bound(dtype));
}

TEST_CASE("update: rows updated in parts -> same stochastic rounding as the whole", "[update]") {
  Device& device = tests::device();
  UpdateRule rule = with_rate(device, rule_of(Rule::adam, 0.9), 0.1, 3);
  rule.seed = 5;
  auto const stepped = [&](std::vector<int64_t> const& cuts, UpdateRule const& by) {
    Drawn r(device, {7, 333}, Dtype::bf16, Dtype::f32, by);  // 2331 elements, several chunks
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      auto const rows = [&](Tensor const& t) { return t.rows(cuts[i], cuts[i + 1]); };
      UpdateState part{rows(r.state.w), rows(r.state.first), rows(r.state.second), {}};
      device.kernels().update(by, cuts[i], {}, rows(r.g), part);
    }
    return tests::bytes(r.state.w) + tests::bytes(r.state.first) + tests::bytes(r.state.second);
  };
  auto const whole = stepped({0, 7}, rule);
  CHECK(stepped({0, 1, 4, 4, 7}, rule) == whole);
  UpdateRule other = rule;
  other.seed = 6;
  CHECK(stepped({0, 7}, other) != whole);
  // The same bias corrections, another step number.
  auto numbers = make_step_scalars(rule, 0.1, 3);
  numbers[3] = 4;
  other = rule;
  other.step_scalars = Tensor(device, {4}, Dtype::f64);
  device.upload(numbers.data(), other.step_scalars);
  CHECK(stepped({0, 7}, other) != whole);
}

TEST_CASE("update: changes below a bf16 unit in the last place -> correct mean over many steps",
          "[update]") {
  Device& device = tests::device();
  int64_t const size = 4096;
  UpdateRule rule = rule_of(Rule::adam, 0.9);
  rule.epsilon = 1;  // changes w by about a tenth of its last place
  Drawn r(device, {size}, Dtype::bf16, Dtype::f32, rule);
  device.kernels().fill(1, r.state.w);
  device.kernels().fill(1, r.state.first);
  device.kernels().fill(1, r.state.second);
  device.kernels().fill(0.5, r.g);
  Plain one{{1}, {1}, {1}};
  for (int64_t step = 1001; step <= 1100; ++step) {
    device.kernels().update(with_rate(device, rule, 1e-3, step), 0, {}, r.g, r.state);
    one.step(rule, 1e-3, double(step), {0.5});
  }
  auto const mean = [](Tensor const& t) {
    double sum = 0;
    for (double const value : tests::values(t)) sum += value;
    return sum / double(t.count());
  };
  // Each of 100 roundings errs by up to 2^-8; the mean of 4096 has a standard deviation of about
  // 0.0004.
  CHECK(std::abs(mean(r.state.w) - one.w[0]) < 0.002);
  CHECK(std::abs(mean(r.state.first) - one.first[0]) < 0.002);
  CHECK(std::abs(mean(r.state.second) - one.second[0]) < 0.002);
  CHECK(one.w[0] < 0.98);
  CHECK(one.second[0] < 0.95);
}

TEST_CASE("update: step scalars changed on the device -> the step uses the new values",
          "[update]") {
  Device& device = tests::device();
  UpdateRule rule = with_rate(device, rule_of(Rule::sgd), 1);
  auto const numbers = make_step_scalars(rule, 0.5, 2);
  device.upload(numbers.data(), rule.step_scalars);
  UpdateState state{tests::tensor<float>(device, {2}, {1, 2}), {}, {}, {}};
  device.kernels().update(rule, 0, {}, tests::tensor<float>(device, {2}, {1, -1}), state);
  CHECK(tests::values(state.w) == std::vector<double>{0.5, 2.5});
}

TEST_CASE("update_all: parameters of many sizes -> same bits as one by one", "[update]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  bool const copies = GENERATE(true, false);
  for (UpdateRule const& plain : all_rules()) {
    UpdateRule const rule = with_rate(device, plain, 0.1, 3);
    std::vector<ParameterUpdate> all;
    // More parameters than one launch of CUDA takes, larger than one block, and empty.
    for (int64_t i = 0; i < 70; ++i) {
      Shape const shape{i == 3 ? 70'001 : i == 5 ? 0 : 1 + i * i, i % 3 + 1};
      Drawn const drawn(device, shape, dtype, dtype, rule);
      all.push_back({drawn.g, drawn.state});
      if (copies && i % 2 == 0) all.back().state.copy = Tensor(device, shape, Dtype::bf16);
    }
    std::vector<UpdateState> alone;
    for (auto const& [g, state] : all) {
      UpdateState copy = state;
      for (Tensor* const t : {&copy.w, &copy.first, &copy.second, &copy.copy})
        if (*t) *t = clone(*t);
      device.kernels().update(rule, 0, {}, g, copy);
      alone.push_back(copy);
    }
    device.kernels().update_all(rule, all);
    for (size_t i = 0; i < all.size(); ++i) {
      auto const same = [&](Tensor UpdateState::*which) {
        Tensor const &got = all[i].state.*which, &want = alone[i].*which;
        return !want || tests::bytes(got) == tests::bytes(want);
      };
      CAPTURE(i);
      CHECK((same(&UpdateState::w) && same(&UpdateState::first)));
      CHECK((same(&UpdateState::second) && same(&UpdateState::copy)));
    }
  }
}

TEST_CASE("update_all: gradient scale 0, and no parameters -> nothing changes", "[update]") {
  Device& device = tests::device();
  UpdateRule rule = with_rate(device, rule_of(Rule::sgd, 0.9), 0.1);
  rule.gradient_scale = tests::tensor<double>(device, {1}, {0});
  Drawn const drawn(device, {33, 3}, Dtype::f32, Dtype::f32, rule);
  std::vector<ParameterUpdate> one{{drawn.g, drawn.state}}, none;
  auto const before = tests::bytes(drawn.state.w);
  device.kernels().update_all(rule, one);
  device.kernels().update_all(rule, none);
  CHECK(tests::bytes(drawn.state.w) == before);
}

TEST_CASE("update: one and three CPU threads -> same bits", "[update][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const run = [](Device& device) {
    UpdateRule const rule = with_rate(device, rule_of(Rule::adamw, 0.9, 0.1), 0.1, 3);
    Drawn r(device, {3, 70001}, Dtype::bf16, Dtype::f32, rule);
    device.kernels().update(rule, 0, {}, r.g, r.state);
    return tests::bytes(r.state.w) + tests::bytes(r.state.first) + tests::bytes(r.state.second);
  };
  CHECK(run(one) == run(three));
}
