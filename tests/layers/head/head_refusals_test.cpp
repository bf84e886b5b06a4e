#include "comm/self.h"
#include "tests/layers/head/heads.h"
#include "tests/support/device.h"

using Catch::Contains;
using layers::HeadLoss;
using layers::Moments;
using layers::ShardedHead;

namespace {

/// The message of check_loss for a modified loss; "" if it is valid.
template <class F>
std::string told(HeadLoss loss, F const& change, bool bias = false) {
  change(loss);
  try {
    layers::check_loss(loss, bias);
  } catch (core::Error const& error) {
    return error.what();
  }
  return "";
}

layers::HeadStep with(core::UpdateRule const& rule) {
  auto const ready = tests::at_step(tests::device(), rule, 0.1, 1);
  return {ready, ready};
}

}  // namespace

TEST_CASE("head loss: value out of range -> throws", "[cpu]") {
  HeadLoss const arc = HeadLoss::arcface(8, 0.5), plain;
  auto const nothing = [](HeadLoss&) {};
  CHECK(told(arc, nothing) == "");
  CHECK(told(plain, nothing, true) == "");
  CHECK_THAT(told(plain, [](HeadLoss& l) { l.smoothing = 1; }),
             Contains("label smoothing 1; must be in [0, 1)"));
  CHECK_THAT(told(plain, [](HeadLoss& l) { l.smoothing = -0.1; }), Contains("smoothing -0.1"));
  CHECK_THAT(told(plain, [](HeadLoss& l) { l.smoothing = NAN; }), Contains("smoothing nan"));
  CHECK_THAT(told(plain, [](HeadLoss& l) { l.z_loss = -1; }),
             Contains("z-loss -1; must not be negative"));
  CHECK_THAT(told(plain, [](HeadLoss& l) { l.z_loss = NAN; }), Contains("z-loss nan"));
  CHECK_THAT(told(arc, [](HeadLoss& l) { l.scale = 0; }), Contains("scale 0; must be positive"));
  CHECK_THAT(told(arc, [](HeadLoss& l) { l.m1 = 0.5; }), Contains("margins 0.5, 0.5, 0"));
  CHECK_THAT(told(arc, [](HeadLoss& l) { l.m2 = -0.5; }), Contains("m2 and m3 at least 0"));
  CHECK_THAT(told(arc, [](HeadLoss& l) { l.m3 = -1; }), Contains("margins 1, 0.5, -1"));
  for (double const share : {0.0, 1.5})
    CHECK_THAT(told(arc, [=](HeadLoss& l) { l.share = share; }), Contains("must be in (0, 1]"));
}

TEST_CASE("head loss: unsupported combination -> throws with the reason", "[cpu]") {
  HeadLoss const arc = HeadLoss::arcface(8, 0.5), ada = HeadLoss::adaface(8, 0.4, 0.3),
                 curricular = HeadLoss::curricularface(8, 0.5);
  auto const dot = [](auto const& change) { return told({}, change); };
  auto const no_cosine = Contains("margins and the inter-class filter require cosines");
  CHECK_THAT(dot([](HeadLoss& l) { l.m1 = 2; }), no_cosine);
  CHECK_THAT(dot([](HeadLoss& l) { l.m2 = 0.1; }), no_cosine);
  CHECK_THAT(dot([](HeadLoss& l) { l.m3 = 0.1; }), no_cosine);
  CHECK_THAT(dot([](HeadLoss& l) { l.filter = 0.5; }), no_cosine);
  CHECK_THAT(dot([](HeadLoss& l) { l.margin = layers::MarginKind::adaptive; }), no_cosine);
  CHECK_THAT(told(
                 arc, [](HeadLoss&) {}, true),
             Contains("a bias is not supported with cosines"));
  for (auto const& one : {ada, curricular}) {
    CHECK(told(one, [](HeadLoss&) {}) == "");
    CHECK_THAT(told(one, [](HeadLoss& l) { l.m1 = 2; }), Contains("use only m2"));
    CHECK_THAT(told(one, [](HeadLoss& l) { l.m3 = 0.1; }), Contains("use only m2"));
  }
  CHECK_THAT(told(arc,
                  [](HeadLoss& l) {
                    l.filter = 0.3;
                    l.smoothing = 0.1;
                  }),
             Contains("label smoothing needs the logits of all"));
  CHECK_THAT(told(curricular, [](HeadLoss& l) { l.filter = 0.3; }),
             Contains("the inter-class filter removes them"));
  CHECK_THAT(told(curricular, [](HeadLoss& l) { l.smoothing = 0.1; }),
             Contains("which label smoothing would also use"));
}

TEST_CASE("sharded head: unsupported combination of options and step -> throws") {
  core::Device& device = tests::device();
  comm::Self self;
  using Options = ShardedHead::Options;
  auto const make = [&](Options const& o, core::Dtype dtype = core::Dtype::f32) {
    return std::make_unique<ShardedHead>(layers::Context{device, dtype}, self, o);
  };
  Options const five{.classes = 5, .features = 3};
  Options smooth = five;
  smooth.loss.smoothing = 0.1;
  Options early = smooth;
  early.passes = layers::Passes::one;
  CHECK_THROWS_WITH(make(early), Contains("Passes::one with label smoothing"));
  for (auto const storage : {layers::Storage::bf16, layers::Storage::bf16_moments}) {
    Options narrow = five;
    narrow.storage = storage;
    CHECK_NOTHROW(make(narrow));
    CHECK_THROWS_WITH(make(narrow, core::Dtype::f64), Contains("bf16 storage with dtype f64"));
  }

  auto const head = make(five);
  auto step = with({.momentum = 0.9});
  CHECK_NOTHROW(head->set_step(step));
  step.summed = true;
  CHECK_THROWS_WITH(head->set_step(step), Contains("must be deferred"));
  step.deferred = true;
  CHECK_NOTHROW(head->set_step(step));
  step.sampling_rate = 0.5;
  CHECK_THROWS_WITH(head->set_step(step), Contains("class sampling with several batches per step"));
  for (double const rate : {0.0, 1.5, double(NAN)}) {
    step.sampling_rate = rate;
    CHECK_THROWS_WITH(head->set_step(step), Contains("must be in (0, 1]"));
  }
  auto sampled = with({});
  sampled.sampling_rate = 0.5;
  CHECK_NOTHROW(head->set_step(sampled));
  CHECK_THROWS_WITH(make(smooth)->set_step(sampled),
                    Contains("class sampling with label smoothing"));
  comm::Self others;
  ShardedHead replicated({device}, self, five, &others);
  CHECK_THROWS_WITH(replicated.set_step(sampled), Contains("class sampling with replicas"));

  core::UpdateRule const adam{.kind = core::Rule::adam, .momentum = 0.9};
  CHECK_THROWS_WITH(head->set_step(with(adam)),
                    Contains("the rule is Adam, but the head has no moments"));
  Options both = five;
  both.moments = Moments::both;
  auto const adam_head = make(both);
  CHECK_THROWS_WITH(adam_head->set_step(with({})), Contains("the rule is SGD"));
  auto lars = with(adam);
  lars.trust_coefficient = 0.1;
  CHECK_THROWS_WITH(adam_head->set_step(lars), Contains("requires SGD, not Adam"));
  CHECK_THROWS_WITH(head->set_class_weights(tests::random(device, {4}, core::Dtype::f32, 1)),
                    Contains("class weights (4) f32 for 5 classes"));
  CHECK_THROWS_WITH(head->set_class_weights(tests::random(device, {5}, core::Dtype::f64, 1)),
                    Contains("f64 for 5 classes of this rank; expected dtype f32"));
}
