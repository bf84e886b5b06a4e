#pragma once
#include "tests/layers/head/sharded_head_checks.h"

/// The head configurations that are compared with the dense head.
namespace tests {

/// Plain softmax, split into chunks in every way.
inline std::vector<HeadCase> softmax_cases() {
  using layers::Logits;
  std::vector<HeadCase> all;
  for (int64_t const classes : {1, 2, 3, 7, 50, 1000})
    for (bool const bias : {false, true})
      for (auto const logits : {Logits::automatic, Logits::store, Logits::recompute})
        for (int64_t const chunk : {0, 1, 3, 64})
          if (classes < 1000 || chunk != 1)
            all.push_back(softmax_case(classes, bias, logits, chunk));
  return all;
}

inline HeadCase with_loss(HeadCase c, std::string const& name, layers::HeadLoss const& loss) {
  c.name = name;
  c.options.loss = loss;
  if (loss.cosine()) c.options.bias = false;
  return c;
}

/// Every loss, with the other options of `like`.
inline std::vector<HeadCase> losses(HeadCase const& like) {
  using layers::HeadLoss;
  std::vector<HeadCase> all;
  auto const add = [&](std::string const& name, HeadLoss const& loss) {
    all.push_back(with_loss(like, name, loss));
  };
  add("label smoothing", {.smoothing = 0.1});
  add("z-loss", {.z_loss = 0.01});
  add("smoothing and z-loss", {.smoothing = 0.2, .z_loss = 0.02});
  add("NormFace", HeadLoss::normface(8));
  add("CosFace", HeadLoss::cosface(8, 0.4));
  add("ArcFace", HeadLoss::arcface(8, 0.5));
  add("SphereFace", HeadLoss::sphereface(8, 1.35));
  add("combined", HeadLoss::combined(8, 1.2, 0.3, 0.2));
  add("AdaFace", HeadLoss::adaface(8, 0.4, 0.333));
  add("CurricularFace", HeadLoss::curricularface(8, 0.5));
  HeadLoss straight = HeadLoss::arcface(8, 0.5), filtered = straight, smooth = straight;
  straight.gradient = core::math::MarginGradient::straight_through;
  add("ArcFace, straight through", straight);
  filtered.filter = 0.3;
  add("ArcFace, filtered", filtered);
  smooth.smoothing = 0.1;
  smooth.z_loss = 0.01;
  add("ArcFace, smoothing, z-loss", smooth);
  HeadLoss adaptive = HeadLoss::adaface(8, 0.4, 0.333);
  adaptive.filter = 0.3;
  add("AdaFace, filtered", adaptive);
  HeadLoss steep = HeadLoss::sphereface(4, 3);  // angles beyond several multiples of π
  add("SphereFace, m = 3", steep);
  return all;
}

/// The other kinds of step, with the other options of `like`.
inline std::vector<HeadCase> ways(HeadCase const& like) {
  std::vector<HeadCase> all;
  auto const add = [&](std::string const& name, auto const& change) {
    HeadCase c = like;
    c.name = like.name + ", " + name;
    change(c);
    all.push_back(c);
  };
  add("class weights, ignored row", [](HeadCase& c) { c.class_weights = c.ignored = true; });
  // With one class the gradient is only a rounding error of 0, which Adam and LARS would amplify.
  if (like.options.classes > 1) {
    add("Adam",
        [](HeadCase& c) { c.weight = c.bias = {.kind = core::Rule::adam, .momentum = 0.9}; });
    add("AdamW", [](HeadCase& c) {
      c.weight = c.bias = {.kind = core::Rule::adamw, .momentum = 0.8, .decay = 0.1};
    });
    add("LARS", [](HeadCase& c) { c.trust_coefficient = 0.1; });
  }
  add("clipped", [](HeadCase& c) { c.deferred = true; });
  // The running statistics of AdaFace and CurricularFace change with each batch.
  if (like.options.loss.margin == layers::MarginKind::fixed)
    add("three batches", [](HeadCase& c) {
      c.batches = 3;
      c.deferred = c.ignored = true;
    });
  if (like.options.loss.margin == layers::MarginKind::fixed)
    add("three batches, weighted", [](HeadCase& c) {
      c.batches = 3;
      c.deferred = c.class_weights = true;
    });
  for (HeadCase& c : all)
    if (c.weight.kind != core::Rule::sgd) c.options.moments = layers::Moments::both;
  if (like.options.loss.smoothing > 0) return all;
  using layers::UnsampledRows;
  for (auto const rows : {UnsampledRows::lazy, UnsampledRows::dense})
    for (bool const log_q : {false, true})
      add(core::join("sampled, rows ", int(rows), ", log-Q ", log_q), [=](HeadCase& c) {
        c.sampling_rate = 0.4;
        c.options.unsampled = rows;
        c.options.log_q = log_q;
        c.ignored = true;
      });
  return all;
}

/// Every loss with every kind of step and either number of passes.
inline std::vector<HeadCase> all_cases() {
  using layers::Logits;
  using layers::Passes;
  std::vector<HeadCase> all;
  for (int64_t const classes : {1, 2, 7, 50})
    for (auto const logits : {Logits::store, Logits::recompute})
      for (auto const passes : {Passes::two, Passes::one}) {
        auto like = softmax_case(classes, true, logits, 3);
        like.options.passes = passes;
        auto kinds = losses(like);
        kinds.push_back(like);
        for (auto const& kind : kinds) {
          if (passes == Passes::one && kind.options.loss.smoothing > 0) continue;
          all.push_back(kind);
          for (auto const& way : ways(kind)) all.push_back(way);
        }
      }
  return all;
}

/// A prime number of classes, in chunks that do not divide it.
inline std::vector<HeadCase> large_cases() {
  std::vector<HeadCase> all;
  for (int64_t const classes : {1000, 4099})
    for (auto const& kind : losses(softmax_case(classes, true, layers::Logits::automatic, 300)))
      all.push_back(kind);
  return all;
}

/// Logits that differ by hundreds within a row: exponentials with several references.
inline std::vector<HeadCase> far_cases() {
  std::vector<HeadCase> all;
  for (auto const logits : {layers::Logits::store, layers::Logits::recompute})
    for (auto const passes : {layers::Passes::two, layers::Passes::one})
      for (int64_t const chunk : {1, 3, 64}) {
        auto c = softmax_case(50, true, logits, chunk);
        c.name = "far";
        c.options.init_std = 40;
        c.options.passes = passes;
        all.push_back(c);
        // Adam would amplify the rounding errors of gradients that are almost 0.
        for (auto const& way : ways(c))
          if (way.weight.kind == core::Rule::sgd) all.push_back(way);
      }
  return all;
}

inline std::vector<HeadCase> rounded_cases() {
  std::vector<HeadCase> all;
  for (auto const logits : {layers::Logits::store, layers::Logits::recompute})
    for (auto const plan : {layers::Passes::two, layers::Passes::one}) {
      auto c = softmax_case(50, true, logits, 7, 31);
      c.options.passes = plan;
      all.push_back(c);
      all.push_back(with_loss(c, "ArcFace", layers::HeadLoss::arcface(8, 0.5)));
    }
  return all;
}

}  // namespace tests
