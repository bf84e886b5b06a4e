#pragma once
#include <algorithm>
#include "layers/head/row_parallel_head.h"
#include "tests/layers/head/dense_head.h"
#include "tests/support/reference.h"

/// Helpers for head tests: batches, steps and states.
namespace tests {

/// A global batch, the same for any number of ranks; each rank takes its rows. Row `ignored` has a
/// negative label.
struct HeadBatch {
  core::Tensor x;       ///< (b, D)
  core::Tensor labels;  ///< (b)
  comm::Counts counts;
  std::vector<double> all_x;  ///< (B, D), rounded to the dtype of x
  std::vector<int64_t> all_labels;
};

/// Six rows, distributed unevenly: with two or more ranks, one has none.
inline comm::Counts uneven(int ranks) {
  comm::Counts const deals[] = {{6}, {6, 0}, {4, 0, 2}, {3, 0, 1, 2}};
  return deals[ranks - 1];
}

inline core::Tensor labels_tensor(core::Device& device, std::vector<int64_t> const& values) {
  core::Tensor t(device, {static_cast<int64_t>(values.size())}, core::Dtype::i64);
  device.upload(values.data(), t);
  return t;
}

inline HeadBatch head_batch(core::Device& device, comm::Communicator& ranks, comm::Counts counts,
                            int64_t classes, int64_t features, core::Dtype dtype, unsigned seed,
                            int ignored = -1) {
  int64_t const batch = comm::begin_of(counts, ranks.size());
  auto const x = random(device, {batch, features}, dtype, seed);
  HeadBatch b;
  for (int64_t i = 0; i < batch; ++i) b.all_labels.push_back((i * i * 37 + seed) % classes);
  if (ignored >= 0) b.all_labels[size_t(ignored)] = -1;
  int64_t const begin = comm::begin_of(counts, ranks.rank());
  int64_t const end = comm::begin_of(counts, ranks.rank() + 1);
  b.x = clone(x.rows(begin, end));
  b.labels = labels_tensor(device, {b.all_labels.begin() + begin, b.all_labels.begin() + end});
  b.all_x = values(x);
  b.counts = std::move(counts);
  return b;
}

/// The tensor of this name in the state of a head; empty if there is none.
inline core::Tensor state_of(layers::Head& head, std::string const& name) {
  for (auto const& [found, tensor] : head.state())
    if (found == name) return tensor;
  return {};
}

/// Rows [begin, end) of a row-major matrix.
inline std::vector<double> part(std::vector<double> const& all, int64_t begin, int64_t end,
                                int64_t columns) {
  return {all.begin() + begin * columns, all.begin() + end * columns};
}

/// Forward and backward of one batch in training mode: the loss, and dX of this rank's rows.
struct HeadResult {
  core::Tensor loss, dx;
};

inline HeadResult forward_backward(layers::Head& head, HeadBatch const& batch) {
  core::Tape tape;
  auto const x = tape.input(batch.x);
  auto const loss = head.loss(tape, x, batch.labels, batch.counts);
  tape.backward(loss, core::empty_like(loss.value));
  return {loss.value, tape.grad(x)};
}

/// Performs one training step.
inline HeadResult train_step(layers::Head& head, HeadBatch const& batch,
                             layers::HeadStep const& rule) {
  head.set_step(rule);
  auto const result = forward_backward(head, batch);
  head.finish();
  return result;
}

/// The rule with its step scalars for step `t`.
inline core::UpdateRule at_step(core::Device& device, core::UpdateRule rule, double rate,
                                int64_t t) {
  rule.step_scalars = core::make_step_scalars(device, rule, rate, t);
  return rule;
}

inline constexpr double full_rate = 0.5, full_bias_rate = 0.25;

/// SGD with momentum, Nesterov and weight decay, different for weights and biases.
inline layers::HeadStep full_rule(core::Device& device) {
  core::UpdateRule weight, bias;
  weight.momentum = 0.9;
  weight.decay = 0.01;
  weight.nesterov = true;
  bias.momentum = 0.8;
  return {at_step(device, weight, full_rate, 1), at_step(device, bias, full_bias_rate, 1)};
}

/// Plain gradient descent.
inline layers::HeadStep plain_rule(core::Device& device, double rate) {
  auto const rule = at_step(device, {}, rate, 1);
  return {rule, rule};
}

/// The values of a tensor on every rank, in rank order, to check that they are equal.
inline std::vector<double> of_all_ranks(comm::Communicator& ranks, core::Tensor const& t) {
  core::Shape shape = t.shape();
  shape.insert(shape.begin(), ranks.size());
  core::Tensor all(t.device(), shape, t.dtype());
  ranks.all_gather(t, all)->wait();
  return values(all);
}

}  // namespace tests
