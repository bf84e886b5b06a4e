#pragma once
#include <algorithm>
#include "layers/row_parallel_head.h"
#include "layers/sharded_head.h"
#include "tests/support/reference.h"

/// What tests of heads compare with: the whole classifier on one rank, in plain f64 loops.
namespace tests {

/// A global batch that is the same for any number of ranks, of which each takes its rows.
struct HeadBatch {
  core::Tensor x;       ///< (b, D)
  core::Tensor labels;  ///< (b)
  comm::Counts counts;
  std::vector<double> all_x;  ///< (B, D), as rounded to x's dtype
  std::vector<int64_t> all_labels;
};

/// Six rows dealt unevenly, so that from two ranks on one has none.
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
                            int64_t classes, int64_t features, core::Dtype dtype, unsigned seed) {
  int64_t const batch = comm::begin_of(counts, ranks.size());
  auto const x = random(device, {batch, features}, dtype, seed);
  HeadBatch b;
  for (int64_t i = 0; i < batch; ++i) b.all_labels.push_back((i * i * 37 + seed) % classes);
  int64_t const begin = comm::begin_of(counts, ranks.rank());
  int64_t const end = comm::begin_of(counts, ranks.rank() + 1);
  b.x = clone(x.rows(begin, end));
  b.labels = labels_tensor(device, {b.all_labels.begin() + begin, b.all_labels.begin() + end});
  b.all_x = values(x);
  b.counts = std::move(counts);
  return b;
}

/// Softmax cross-entropy of the unsplit classifier with its own SGD; (C, D) and (C), row-major.
class DenseHead {
 public:
  DenseHead(int64_t classes, int64_t features, std::vector<double> w, std::vector<double> b)
      : w(std::move(w)), b(std::move(b)), classes_(classes), features_(features) {
    w_velocity.resize(this->w.size());
    b_velocity.resize(this->b.size());
  }

  std::vector<double> w, b, w_velocity, b_velocity;
  double loss = 0;
  std::vector<double> dx;

  double logit(double const* x, int64_t c) const {
    double z = b.empty() ? 0 : b[size_t(c)];
    for (int64_t d = 0; d < features_; ++d) z += x[d] * w[size_t(c * features_ + d)];
    return z;
  }

  /// Loss and dX of the batch, then one step.
  void step(std::vector<double> const& x, std::vector<int64_t> const& labels,
            layers::HeadStep const& rule) {
    std::vector<double> dw(w.size()), db(b.size());
    dx.assign(x.size(), 0);
    loss = 0;
    for (size_t row = 0; row < labels.size(); ++row) this->row(row, x, labels, dw, db);
    update(rule.weight, dw, w, w_velocity);
    update(rule.bias, db, b, b_velocity);
  }

 private:
  void row(size_t row, std::vector<double> const& all, std::vector<int64_t> const& labels,
           std::vector<double>& dw, std::vector<double>& db) {
    double const* const x = all.data() + row * size_t(features_);
    std::vector<double> z;
    for (int64_t c = 0; c < classes_; ++c) z.push_back(logit(x, c));
    double const top = *std::max_element(z.begin(), z.end());
    double sum = 0;
    for (double const value : z) sum += std::exp(value - top);
    double const share = 1.0 / double(labels.size()), lse = top + std::log(sum);
    loss += share * (lse - z[size_t(labels[row])]);
    for (int64_t c = 0; c < classes_; ++c) {
      double const g = share * (std::exp(z[size_t(c)] - lse) - (c == labels[row] ? 1 : 0));
      if (!db.empty()) db[size_t(c)] += g;
      for (int64_t d = 0; d < features_; ++d) {
        auto const at = size_t(c * features_ + d);
        dx[row * size_t(features_) + size_t(d)] += g * w[at];
        dw[at] += g * x[d];
      }
    }
  }

  static void update(core::SgdStep const& rule, std::vector<double> const& gradient,
                     std::vector<double>& w, std::vector<double>& velocity) {
    double const rate = value(rule.rate);
    for (size_t i = 0; i < w.size(); ++i) {
      double const g = gradient[i] + rule.decay * w[i];
      velocity[i] = rule.momentum * velocity[i] + g;
      w[i] -= rate * (rule.nesterov ? g + rule.momentum * velocity[i] : velocity[i]);
    }
  }

  int64_t classes_, features_;
};

/// The tensor of a head's state with this name; none where there is none.
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

/// One training step of a head; its loss, and dX of this rank's rows.
struct HeadResult {
  core::Tensor loss, dx;
};

inline HeadResult train_step(layers::Head& head, HeadBatch const& batch,
                             layers::HeadStep const& rule) {
  head.set_step(rule);
  core::Tape tape;
  auto const x = tape.input(batch.x);
  auto const loss = head.loss(tape, x, batch.labels, batch.counts);
  tape.backward(loss, core::empty_like(loss.value));
  return {loss.value, tape.grad(x)};
}

/// Rules with everything in them: momentum, Nesterov and decay, different for weights and biases.
inline layers::HeadStep full_rule(core::Device& device) {
  return {{.rate = core::scalar(device, 0.5), .momentum = 0.9, .decay = 0.01, .nesterov = true},
          {.rate = core::scalar(device, 0.25), .momentum = 0.8, .decay = 0, .nesterov = false}};
}

/// Gradient descent with nothing else.
inline layers::HeadStep plain_rule(core::Device& device, double rate) {
  core::SgdStep const step{.rate = core::scalar(device, rate)};
  return {step, step};
}

/// All of a tensor's values on every rank, rank by rank: to see that they are the same.
inline std::vector<double> of_all_ranks(comm::Communicator& ranks, core::Tensor const& t) {
  core::Shape shape = t.shape();
  shape.insert(shape.begin(), ranks.size());
  core::Tensor all(t.device(), shape, t.dtype());
  ranks.all_gather(t, all)->wait();
  return values(all);
}

}  // namespace tests
