#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>
#include "layers/head/sharded_head.h"

/// Reference for the sharded head: the whole classifier on one rank, in plain f64 loops that hold
/// all logits. Formulas are written out from the publications and do not use core/math.
namespace tests {

using Numbers = std::vector<double>;

/// A logit and its derivative with respect to the product.
struct DenseLogit {
  double value, slope;
};

/// A weight tensor with its optimizer state.
struct DenseState {
  Numbers w, first, second;

  explicit DenseState(Numbers start = {})
      : w(std::move(start)), first(w.size()), second(w.size()) {}

  /// torch.optim's SGD, Adam and AdamW on rows of `width` elements; LARS before SGD if
  /// trust_coefficient > 0. rate, t: learning rate and number of the step. `rows`: the rows to
  /// update; empty: all.
  void step(core::UpdateRule const& rule, double rate, double t, double trust_coefficient,
            int64_t width, Numbers const& gradient, std::vector<bool> const& rows) {
    for (int64_t begin = 0; begin < static_cast<int64_t>(w.size()); begin += width) {
      if (!rows.empty() && !rows[static_cast<size_t>(begin / width)]) continue;
      double const trust = trust_coefficient > 0
                               ? trust_of(begin, width, trust_coefficient, rule.decay, gradient)
                               : 1;
      for (int64_t i = begin; i < begin + width; ++i)
        element(static_cast<size_t>(i), rule, rate, t, trust, gradient);
    }
  }

 private:
  double trust_of(int64_t begin, int64_t width, double trust_coefficient, double decay,
                  Numbers const& gradient) const {
    double ww = 0, gg = 0;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(begin + width); ++i) {
      ww += w[i] * w[i];
      gg += gradient[i] * gradient[i];
    }
    if (ww == 0 || gg == 0) return 1;
    return trust_coefficient * std::sqrt(ww) / (std::sqrt(gg) + decay * std::sqrt(ww));
  }

  void element(size_t i, core::UpdateRule const& rule, double rate, double t, double trust,
               Numbers const& gradient) {
    double g = gradient[i];
    if (rule.kind == core::Rule::adamw)
      w[i] -= rate * rule.decay * w[i];
    else
      g += rule.decay * w[i];
    g *= trust;
    if (rule.kind == core::Rule::sgd) {
      first[i] = rule.momentum * first[i] + g;
      w[i] -= rate * (rule.nesterov ? g + rule.momentum * first[i] : first[i]);
      return;
    }
    first[i] = rule.momentum * first[i] + (1 - rule.momentum) * g;
    second[i] = rule.second * second[i] + (1 - rule.second) * g * g;
    double const m = first[i] / (1 - std::pow(rule.momentum, t));
    double const v = second[i] / (1 - std::pow(rule.second, t));
    w[i] -= rate * m / (std::sqrt(v) + rule.epsilon);
  }
};

class DenseHead {
 public:
  DenseHead(int64_t classes, int64_t features, Numbers start, Numbers start_bias,
            layers::HeadLoss rule = {})
      : weight(std::move(start)),
        bias(std::move(start_bias)),
        rule(rule),
        classes_(classes),
        features_(features) {}

  DenseState weight, bias;
  layers::HeadLoss rule;
  Numbers class_weights;           ///< (C), or empty
  std::vector<bool> sampled;       ///< classes of the softmax; empty: all
  Numbers log_q;                   ///< (C), subtracted from the logits; or empty
  bool dense_rows = false;         ///< also update rows that were not sampled
  double mean = 20, stddev = 100;  ///< running statistics of AdaFace
  double t = 0;                    ///< running statistic of CurricularFace

  double loss = 0;
  Numbers dx, dw, db;  ///< gradients of the mean loss

  /// Computes loss and gradients of a batch; rows with negative labels are ignored.
  void evaluate(Numbers const& x, std::vector<int64_t> const& labels) {
    dx.assign(x.size(), 0);
    dw.assign(weight.w.size(), 0);
    db.assign(bias.w.size(), 0);
    loss = 0;
    remember(x, labels);
    double total = 0;
    for (int64_t const y : labels) total += y < 0 ? 0 : weight_of(y);
    for (size_t row = 0; row < labels.size(); ++row)
      if (labels[row] >= 0) add_row(row, x, labels[row], total);
  }

  /// Performs the optimizer step from the gradients of `evaluate`. rate, number: learning rate and
  /// number of the step (UpdateRule::step_scalars).
  void update(layers::HeadStep const& step, double rate, double number, double factor = 1) {
    for (Numbers* g : {&dw, &db})
      for (double& value : *g) value *= factor;
    auto const& rows = dense_rows ? std::vector<bool>{} : sampled;
    weight.step(step.weight, rate, number, step.trust_coefficient, features_, dw, rows);
    bias.step(step.bias, rate, number, 0, 1, db, rows);
  }

  double squares() const {
    double sum = 0;
    for (Numbers const* g : {&dw, &db})
      for (double const value : *g) sum += value * value;
    return sum;
  }

  /// The scaled product of x (D) and class c, plus bias.
  double logit(double const* x, int64_t c) const {
    double z = bias.w.empty() ? 0 : bias.w[size_t(c)];
    Numbers const u = unit({x, x + features_}), w = unit(row_of(c));
    for (size_t d = 0; d < u.size(); ++d) z += rule.scale * u[d] * w[d];
    return z;
  }

 private:
  double weight_of(int64_t c) const { return class_weights.empty() ? 1 : class_weights[size_t(c)]; }
  Numbers row_of(int64_t c) const {
    return {weight.w.begin() + c * features_, weight.w.begin() + (c + 1) * features_};
  }
  static double norm(Numbers const& v) {
    double sum = 0;
    for (double const value : v) sum += value * value;
    return std::sqrt(sum);
  }
  /// v, or v / |v| if products are cosines.
  Numbers unit(Numbers v) const {
    if (!rule.cosine()) return v;
    double const length = norm(v);
    for (double& value : v) value /= length;
    return v;
  }
  /// Gradient with respect to v, from that with respect to unit(v).
  Numbers through_unit(Numbers const& v, Numbers g) const {
    if (!rule.cosine()) return g;
    Numbers const u = unit(v);
    double dot = 0;
    for (size_t i = 0; i < u.size(); ++i) dot += u[i] * g[i];
    for (size_t i = 0; i < u.size(); ++i) g[i] = (g[i] - u[i] * dot) / norm(v);
    return g;
  }
  static double dot(Numbers const& a, Numbers const& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }

  /// Updates the running statistics. They are updated before they are used, as in the published
  /// code.
  void remember(Numbers const& x, std::vector<int64_t> const& labels) {
    Numbers norms, cosines;
    for (size_t row = 0; row < labels.size(); ++row) {
      Numbers const v(x.begin() + int64_t(row) * features_,
                      x.begin() + int64_t(row + 1) * features_);
      norms.push_back(std::clamp(norm(v), 1e-3, 100.0));
      if (labels[row] >= 0) cosines.push_back(dot(unit(v), unit(row_of(labels[row]))));
    }
    auto const average = [](Numbers const& v) {
      double sum = 0;
      for (double const value : v) sum += value;
      return sum / double(v.size());
    };
    if (rule.margin == layers::MarginKind::curricular && !cosines.empty())
      t = rule.share * average(cosines) + (1 - rule.share) * t;
    if (rule.margin != layers::MarginKind::adaptive) return;
    double const m = average(norms);
    Numbers gaps;
    for (double const n : norms) gaps.push_back((n - m) * (n - m));
    double const s = std::sqrt(average(gaps) * double(gaps.size()) / double(gaps.size() - 1));
    mean = rule.share * m + (1 - rule.share) * mean;
    stddev = rule.share * s + (1 - rule.share) * stddev;
  }

  /// Logit of the target from its cosine (or product), for features with norm `length`.
  DenseLogit target_logit(double p, double length) const {
    if (!rule.cosine()) return {p, 1};
    double const pi = std::numbers::pi, s = rule.scale, c = std::clamp(p, -1.0, 1.0);
    double const angle = std::acos(c), sine = std::max(std::sin(angle), 1e-3);
    bool const straight = rule.gradient == core::math::MarginGradient::straight_through;
    auto const result = [&](double value, double slope) {
      return DenseLogit{s * value, s * (straight ? 1 : slope)};
    };
    if (rule.margin == layers::MarginKind::adaptive) {
      double const n = std::clamp(length, 1e-3, 100.0), m = rule.m2;
      double const k = std::clamp((n - mean) / (stddev + 1e-3) * rule.h, -1.0, 1.0);
      double const moved = angle - m * k, kept = std::clamp(moved, 1e-3, pi - 1e-3);
      return result(std::cos(kept) - (m + m * k), kept == moved ? std::sin(moved) / sine : 0);
    }
    double const turned = rule.m1 * angle + rule.m2;
    if (turned <= pi) return result(std::cos(turned) - rule.m3, rule.m1 * std::sin(turned) / sine);
    if (rule.m1 == 1) return result(c - rule.m2 * std::sin(rule.m2) - rule.m3, 1);
    double const k = std::floor(turned / pi), sign = std::fmod(k, 2) == 0 ? 1 : -1;
    return result(sign * std::cos(turned) - 2 * k - rule.m3,
                  sign * rule.m1 * std::sin(turned) / sine);
  }

  DenseLogit other_logit(double p, double target) const {
    double const s = rule.scale;
    if (rule.filters() && p > rule.filter) return {-INFINITY, 0};
    if (rule.margin == layers::MarginKind::curricular &&
        p > std::cos(std::acos(std::clamp(target, -1.0, 1.0)) + rule.m2))
      return {s * p * (t + p), s * (t + 2 * p)};
    return {s * p, s};
  }

  void add_row(size_t row, Numbers const& all, int64_t y, double total) {
    Numbers const x(all.begin() + int64_t(row) * features_,
                    all.begin() + int64_t(row + 1) * features_);
    Numbers const u = unit(x);
    Numbers z, slope;
    double const target = dot(u, unit(row_of(y)));
    for (int64_t c = 0; c < classes_; ++c) {
      double const p = dot(u, unit(row_of(c)));
      auto const l = c == y ? target_logit(p, norm(x)) : other_logit(p, target);
      bool const in = sampled.empty() || sampled[size_t(c)];
      z.push_back(!in ? -INFINITY
                      : l.value + (bias.w.empty() ? 0 : bias.w[size_t(c)]) -
                            (log_q.empty() ? 0 : log_q[size_t(c)]));
      slope.push_back(in ? l.slope : 0);
    }
    double const top = *std::max_element(z.begin(), z.end());
    double sum = 0;
    for (double const value : z) sum += std::exp(value - top);
    add_losses(row, y, total, top + std::log(sum), z, slope, x);
  }

  /// Adds the terms of one row to the loss and all gradients.
  void add_losses(size_t row, int64_t y, double total, double lse, Numbers const& z,
                  Numbers const& slope, Numbers const& x) {
    double const e = rule.smoothing, spread = e / double(classes_), w = weight_of(y);
    double value = (1 - e) * w * (lse - z[size_t(y)]) + w * rule.z_loss * lse * lse;
    double pull = (1 - e) * w + 2 * w * rule.z_loss * lse;
    for (int64_t c = 0; c < classes_ && e > 0; ++c) {
      value += spread * weight_of(c) * (lse - z[size_t(c)]);
      pull += spread * weight_of(c);
    }
    loss += value / total;
    Numbers const u = unit(x);
    Numbers du(u.size());
    for (int64_t c = 0; c < classes_; ++c) {
      double g = pull * std::exp(z[size_t(c)] - lse) - (c == y ? (1 - e) * w : 0);
      if (e > 0) g -= spread * weight_of(c);
      g /= total;
      if (!db.empty()) db[size_t(c)] += g;
      g *= slope[size_t(c)];
      Numbers const row_c = row_of(c), v = unit(row_c);
      Numbers dv(u.size());
      for (size_t d = 0; d < u.size(); ++d) {
        du[d] += g * v[d];
        dv[d] = g * u[d];
      }
      dv = through_unit(row_c, dv);
      for (size_t d = 0; d < u.size(); ++d) dw[size_t(c * features_) + d] += dv[d];
    }
    du = through_unit(x, du);
    for (size_t d = 0; d < u.size(); ++d) dx[row * size_t(features_) + d] += du[d];
  }

  int64_t classes_, features_;
};

}  // namespace tests
