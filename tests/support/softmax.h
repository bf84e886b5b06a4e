#pragma once
#include <algorithm>
#include "tests/support/reference.h"

/// Softmax test cases for every rule, and a reference loss as plain f64 loops.
namespace tests::softmax {

struct Case {
  core::Tensor z, labels;
  core::LogitRule rule{};
  core::ClassChunk chunk{};
  core::math::LossRule loss{};
};

struct Named {
  std::string name;
  Case of;
};

inline core::Tensor integers(core::Device& device, std::vector<int64_t> const& numbers) {
  core::Tensor t(device, {static_cast<int64_t>(numbers.size())}, core::Dtype::i64);
  device.upload(numbers.data(), t);
  return t;
}

/// The same numbers in another dtype.
inline Case rounded(Case c, core::Dtype dtype) {
  for (auto* t : {&c.z, &c.rule.margins, &c.rule.thresholds, &c.rule.hardness, &c.chunk.bias,
                  &c.chunk.weights})
    if (*t) *t = tests::as(*t, dtype);
  return c;
}

/// The mean loss, computed from its definition.
inline double plain_loss(Case const& c) {
  auto const z = values(c.z), labels = values(c.labels);
  auto const of = [](core::Tensor const& t) { return t ? values(t) : std::vector<double>{}; };
  auto const margins = of(c.rule.margins), thresholds = of(c.rule.thresholds),
             hardness = of(c.rule.hardness), bias = of(c.chunk.bias), weights = of(c.chunk.weights);
  auto const n = static_cast<size_t>(c.z.size(1));
  double total = 0, weight_total = 0;
  for (size_t r = 0; r < labels.size(); ++r) {
    if (labels[r] < 0) continue;
    auto const target = static_cast<size_t>(labels[r] - static_cast<double>(c.chunk.first));
    std::vector<double> logits;
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      double const p = z[r * n + i], offset = bias.empty() ? 0 : bias[i];
      double value = p;
      if (i == target && !margins.empty())
        value = core::math::Margin<double>{margins[3 * r], margins[3 * r + 1], margins[3 * r + 2],
                                           c.rule.beyond, c.rule.gradient}(p)
                    .value;
      else if (i != target && !thresholds.empty() && p > thresholds[r])
        value = hardness.empty() ? -INFINITY : p * (hardness[0] + p);
      logits.push_back(c.rule.scale * value + offset);
      sum += std::exp(logits.back());
    }
    double const lse = std::log(sum), weight = weights.empty() ? 1 : weights[target];
    double loss = (1 - c.loss.smoothing) * weight * (lse - logits[target]);
    if (c.loss.smoothing != 0)
      for (size_t i = 0; i < n; ++i)
        loss += c.loss.smoothing / c.loss.classes * (weights.empty() ? 1 : weights[i]) *
                (lse - logits[i]);
    total += loss + weight * c.loss.z_loss * lse * lse;
    weight_total += weight;
  }
  return total / weight_total;
}

/// Rows of cosines without any rule, with labels in the first class, in the last, negative, and
/// between.
inline Case plain_case(core::Device& device, int64_t rows, int64_t classes, int64_t first,
                       core::Dtype dtype) {
  std::vector<int64_t> labels;
  for (int64_t r = 0; r < rows; ++r)
    labels.push_back(r == 2 ? -1 : first + (r == 1 ? classes - 1 : 7 * r % classes));
  std::vector<double> cosines = values(random(device, {rows, classes}, core::Dtype::f64, 1));
  for (double& c : cosines) c = std::tanh(c);
  return {.z = tensor(device, {rows, classes}, dtype, cosines),
          .labels = integers(device, labels),
          .chunk = {first, {}, {}}};
}

inline core::Tensor same_margins(core::Device& device, int64_t rows, core::Dtype dtype,
                                 std::vector<double> const& margin) {
  std::vector<double> of_rows;
  for (int64_t r = 0; r < rows; ++r) of_rows.insert(of_rows.end(), margin.begin(), margin.end());
  return tensor(device, {rows, 3}, dtype, of_rows);
}

/// plain_case under every rule.
inline std::vector<Named> cases(core::Device& device, int64_t rows, int64_t classes, int64_t first,
                                core::Dtype dtype) {
  using core::Shape, core::math::BeyondPi;
  auto const like = [&](Shape const& shape, unsigned seed) {
    return random(device, shape, dtype, seed);
  };
  auto const all = [&](Shape const& shape, double value) {
    return tensor(device, shape, dtype,
                  std::vector<double>(static_cast<size_t>(core::count(shape)), value));
  };
  auto const margins = [&](auto... m) { return same_margins(device, rows, dtype, {m...}); };
  Case const plain = plain_case(device, rows, classes, first, dtype);
  std::vector<Named> made;
  auto const add = [&](char const* name, auto const& change) {
    made.push_back({name, plain});
    change(made.back().of);
  };
  auto const weigh = [&](Case& c) {
    std::vector<double> numbers = values(like({classes}, 3));
    for (double& w : numbers) w = 0.5 + std::abs(w);
    c.chunk.weights = tensor(device, {classes}, dtype, numbers);
    c.loss.weight_sum = 0;
    for (double const w : values(c.chunk.weights)) c.loss.weight_sum += w;
  };
  auto const smooth = [&](Case& c) {
    c.rule.sum_logits = true;
    c.loss.smoothing = 0.1;
    c.loss.classes = static_cast<double>(classes);
    if (!c.chunk.weights) c.loss.weight_sum = c.loss.classes;
  };
  add("plain", [](Case&) {});
  add("bias", [&](Case& c) { c.chunk.bias = like({classes}, 2); });
  add("weights", weigh);
  add("smoothing", smooth);
  add("all of them", [&](Case& c) {
    c.chunk.bias = like({classes}, 2);
    c.rule.scale = 3;
    c.loss.z_loss = 0.01;
    weigh(c), smooth(c);
  });
  add("ArcFace", [&](Case& c) { c.rule = {.scale = 8, .margins = margins(1.0, 0.5, 0.0)}; });
  add("combined, smoothing", [&](Case& c) {
    c.rule = {.scale = 8, .margins = margins(1.2, 0.3, 0.2)};
    smooth(c);
  });
  add("AdaFace", [&](Case& c) {
    c.rule = {.scale = 8, .margins = margins(1.0, -0.2, 0.6), .beyond = BeyondPi::clamped};
  });
  add("filter", [&](Case& c) {
    c.rule = {.scale = 8, .margins = margins(1.0, 0.0, 0.4), .thresholds = all({rows}, 0.413)};
  });
  add("CurricularFace", [&](Case& c) {
    c.rule = {.scale = 8,
              .margins = margins(1.0, 0.5, 0.0),
              .thresholds = all({rows}, 0.313),
              .hardness = all({1}, 0.2)};
  });
  return made;
}

}  // namespace tests::softmax
