#include "tests/layers/head/head_cases.h"
#include "tests/support/ranks.h"

using core::Dtype;
using core::Tensor;
using layers::HeadLoss;
using layers::Logits;
using layers::Passes;
using tests::device;
using tests::HeadCase;
using tests::world;

namespace {

/// Losses with different running statistics.
std::vector<HeadCase> all_losses() {
  std::vector<HeadCase> all;
  for (auto const passes : {Passes::two, Passes::one})
    for (auto const logits : {Logits::store, Logits::recompute}) {
      auto like = tests::softmax_case(7, true, logits, 3);
      like.options.passes = passes;
      all.push_back(like);
      all.push_back(tests::with_loss(like, "ArcFace", HeadLoss::arcface(8, 0.5)));
      all.push_back(tests::with_loss(like, "AdaFace", HeadLoss::adaface(8, 0.4, 0.3)));
      all.push_back(tests::with_loss(like, "Curricular", HeadLoss::curricularface(8, 0.5)));
    }
  return all;
}

/// Every kind of step with each of these losses.
std::vector<HeadCase> all_ways() {
  std::vector<HeadCase> all;
  for (auto const& loss : all_losses()) {
    all.push_back(loss);
    for (auto const& way : tests::ways(loss)) all.push_back(way);
    all.push_back(loss);
    all.back().name += ", bf16";
    all.back().options.storage = layers::Storage::bf16;
  }
  return all;
}

layers::HeadStep step_of(HeadCase const& c, int64_t number) {
  layers::HeadStep step{tests::at_step(device(), c.weight, 0.1, number),
                        tests::at_step(device(), c.bias, 0.1, number)};
  step.trust_coefficient = c.trust_coefficient;
  step.number = number;
  step.sampling_rate = c.sampling_rate;
  step.deferred = c.deferred;
  step.summed = c.batches > 1;
  return step;
}

/// Performs one step. Returns the results of its batches and the gradient scale that was used.
std::pair<std::vector<tests::HeadResult>, double> take_step(
    layers::ShardedHead& head, HeadCase const& c, int64_t number,
    std::vector<tests::HeadBatch> const& batches) {
  head.set_step(step_of(c, number));
  std::vector<tests::HeadResult> results;
  for (auto const& batch : batches) results.push_back(tests::forward_backward(head, batch));
  Tensor factor = head.gradient_scale();
  if (c.deferred) {
    Tensor squares = core::scalar(device(), 0);
    head.add_gradient_squared_norm(squares);
    device().kernels().clip_factor(0.1, squares, factor);
  }
  double const used = tests::value(factor);
  head.finish();
  return {results, used};
}

std::string all_bytes(layers::ShardedHead& head) {
  std::string all;
  for (auto const& [name, tensor] : head.state()) all += tests::bytes(tensor);
  return all;
}

std::vector<tests::HeadBatch> batches(HeadCase const& c, unsigned seed) {
  return tests::batches_of(world(), device(), Dtype::f32, c, seed);
}

bool finite(Tensor const& t) {
  auto const all = tests::values(t);
  return std::all_of(all.begin(), all.end(), [](double v) { return std::isfinite(v); });
}

/// Sets one element of the first rank's features in the first batch to `bad`. Other ranks see it
/// only in the gathered batch.
void spoil(std::vector<tests::HeadBatch>& step, double bad) {
  if (world().rank() != 0) return;
  auto& x = step[0].x;
  auto numbers = tests::values(x);
  numbers[1] = bad;
  x = tests::tensor(device(), x.shape(), x.dtype(), numbers);
}

void check_skipped(HeadCase const& c, double bad, int shards) {
  INFO(c << ", " << bad << ", " << world().size() << " ranks, " << shards << " shards");
  comm::Mesh mesh(world(), shards);
  auto head = tests::head_on(mesh, {device(), Dtype::f32}, c.options);
  if (c.class_weights) tests::give_class_weights(device(), head, Dtype::f32);
  take_step(head, c, 1, batches(c, 1));
  auto const before = all_bytes(head);
  auto spoiled = batches(c, 2);
  spoil(spoiled, bad);
  auto const [results, factor] = take_step(head, c, 2, spoiled);
  for (double const loss : tests::of_all_ranks(world(), results.back().loss))
    CHECK_FALSE(std::isfinite(loss));
  CHECK(factor == 0);
  bool const same = all_bytes(head) == before;
  CHECK(same);
  auto const [good, used] = take_step(head, c, 3, batches(c, 3));
  CHECK(finite(good.back().loss));
  CHECK(used > 0);
  for (auto const& [name, tensor] : head.state()) CHECK(finite(tensor));
  // With class sampling, possibly none of the classes of a rank was sampled.
  bool const moved = all_bytes(head) != before;
  if (head.count() > 0 && c.sampling_rate == 1) CHECK(moved);
}

}  // namespace

TEST_CASE("sharded head: loss not finite on one rank -> state unchanged on all ranks", "[ranks]") {
  for (auto const& c : all_ways()) check_skipped(c, NAN, 0);
  for (auto const& c : all_losses())
    for (double const bad : {INFINITY, -INFINITY}) check_skipped(c, bad, 0);
}

TEST_CASE("replicas: loss not finite in one replica -> state unchanged in all", "[ranks][mesh]") {
  for (auto const& c : all_ways())
    if (c.sampling_rate == 1) check_skipped(c, NAN, 1);
}

TEST_CASE("sharded head: all labels negative -> loss and gradients are 0", "[ranks]") {
  for (auto const& c : all_ways()) {
    INFO(c << ", " << world().size() << " ranks");
    layers::ShardedHead head({device(), Dtype::f32}, world(), c.options);
    if (c.class_weights) tests::give_class_weights(device(), head, Dtype::f32);
    auto all = batches(c, 1);
    for (auto& batch : all) {
      batch.labels = tests::labels_tensor(
          device(), std::vector<int64_t>(static_cast<size_t>(batch.labels.count()), -1));
    }
    auto const [results, factor] = take_step(head, c, 1, all);
    for (auto const& [loss, dx] : results) {
      CHECK(tests::value(loss) == 0);
      for (double const slope : tests::values(dx)) CHECK(slope == 0);
    }
    CHECK(factor == (c.batches > 1 ? 0 : 1));
    for (auto const& [name, tensor] : head.state()) CHECK(finite(tensor));
  }
}

TEST_CASE("sharded head: several batches -> margins of each batch, stored or recomputed logits",
          "[ranks]") {
  for (auto const& loss : {HeadLoss::curricularface(8, 0.5), HeadLoss::adaface(8, 0.4, 0.3)}) {
    auto const weights = [&](Logits logits) {
      auto c = tests::with_loss(tests::softmax_case(50, false, logits, 7), "", loss);
      c.options.loss.share = 0.9;  // the running statistics change a lot in every batch
      c.batches = 3;
      c.deferred = true;
      layers::ShardedHead head({device(), Dtype::f64}, world(), c.options);
      take_step(head, c, 1, tests::batches_of(world(), device(), Dtype::f64, c, 1));
      return tests::values(tests::state_of(head, "head.weight"));
    };
    CHECK(tests::near(weights(Logits::store), weights(Logits::recompute), 1e-12));
  }
}
