#include "train/trainer/optimizer.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using train::Experiment;
using train::Optimizer;
using train::OptimizerKind;

namespace {

/// Parameters of all roles: a weight, a bias, a norm gain and running statistics, with gradients.
struct Network {
  Parameter weight, bias, norm, statistics;

  explicit Network(Device& device, Dtype compute = Dtype::f32) {
    auto const make = [&](char const* name, Role role, std::vector<double> const& values,
                          std::vector<double> const& gradient) {
      Shape const shape{int64_t(values.size())};
      Parameter p;
      p.name = name;
      p.role = role;
      p.value = tests::tensor(device, shape, Dtype::f32, values);
      p.compute = compute == Dtype::f32 ? p.value : Tensor(device, shape, compute);
      if (!gradient.empty()) p.grad = tests::tensor(device, shape, Dtype::f32, gradient);
      return p;
    };
    weight = make("conv.weight", Role::weight, {3, -4}, {0.6, 0.8});
    weight.value = weight.value.reshape({2, 1});
    weight.compute = weight.compute.reshape({2, 1});
    weight.grad = weight.grad.reshape({2, 1});
    bias = make("conv.bias", Role::bias, {1}, {0.5});
    norm = make("bn.weight", Role::norm, {2}, {-0.5});
    statistics = make("bn.running_mean", Role::statistics, {7}, {});
  }

  std::vector<Parameter*> all() { return {&weight, &bias, &norm, &statistics}; }
};

Experiment config_of(OptimizerKind kind) {
  Experiment experiment;
  experiment.optimizer.kind = kind;
  experiment.optimizer.weight_decay = 0.1;
  return experiment;
}

/// The network after one step with learning rate 0.1.
Network stepped(Experiment const& experiment, Tensor const& gradient_scale = {}) {
  Device& device = tests::device();
  Network network(device);
  Optimizer optimizer(network.all(), experiment);
  auto const rule = update_rule(experiment, {}, Role::weight);
  optimizer.step(make_step_scalars(device, rule, 0.1, 1), gradient_scale);
  return network;
}

void holds(Tensor const& t, std::vector<double> const& want) {
  CHECK(tests::distance(tests::values(t), want) < tests::f32_elementwise);
}

std::vector<std::string> names_of(Experiment const& experiment) {
  Network network(tests::device());
  std::vector<std::string> names;
  for (auto const& [name, tensor] : Optimizer(network.all(), experiment).state()) {
    names.push_back(name);
    for (double const value : tests::values(tensor)) CHECK(value == 0);
  }
  return names;
}

}  // namespace

TEST_CASE("optimizer: SGD -> decays weights only; decay_norm_and_bias -> all") {
  Experiment experiment = config_of(OptimizerKind::sgd);
  Network network = stepped(experiment);
  holds(network.weight.value, {3 - 0.1 * (0.6 + 0.3), -4 - 0.1 * (0.8 - 0.4)});
  holds(network.bias.value, {0.95});
  holds(network.norm.value, {2.05});
  holds(network.statistics.value, {7});
  CHECK(!network.weight.grad);
  experiment.optimizer.decay_norm_and_bias = true;
  network = stepped(experiment);
  holds(network.bias.value, {1 - 0.1 * (0.5 + 0.1)});
  holds(network.norm.value, {2 - 0.1 * (-0.5 + 0.2)});
}

TEST_CASE("optimizer: first step of Adam and AdamW -> learning rate times the gradient's sign") {
  Network const adam = stepped(config_of(OptimizerKind::adam));
  holds(adam.weight.value, {2.9, -4.1});
  holds(adam.bias.value, {0.9});
  holds(adam.norm.value, {2.1});
  Network const adamw = stepped(config_of(OptimizerKind::adamw));
  holds(adamw.weight.value, {2.9 - 0.03, -4.1 + 0.04});
  holds(adamw.bias.value, {0.9});
}

TEST_CASE("optimizer: LARS -> one trust ratio per weight; SGD for biases and norms") {
  Experiment experiment = config_of(OptimizerKind::lars);
  experiment.optimizer.trust_coefficient = 0.3;
  Network const network = stepped(experiment);
  double const trust = 0.3 * 5 / (1 + 0.1 * 5);  // |w| = 5, |g| = 1
  holds(network.weight.value, {3 - 0.1 * trust * 0.9, -4 - 0.1 * trust * 0.4});
  CHECK(network.weight.value.shape() == Shape{2, 1});
  holds(network.bias.value, {0.95});
  holds(network.norm.value, {2.05});
}

TEST_CASE("optimizer: gradient scale -> applied to every parameter") {
  Device& device = tests::device();
  for (auto const kind : {OptimizerKind::sgd, OptimizerKind::lars}) {
    Experiment experiment = config_of(kind);
    experiment.optimizer.trust_coefficient = 1;
    Network const skipped = stepped(experiment, scalar(device, 0));
    CHECK(tests::values(skipped.weight.value) == std::vector<double>{3, -4});
    CHECK(tests::values(skipped.norm.value) == std::vector<double>{2});
    holds(stepped(experiment, scalar(device, 0.5)).bias.value, {0.975});
  }
  // LARS computes its trust ratio from the scaled gradient, 1 * 5 / (0.5 + 0.1 * 5), and applies it
  // to (0.3 + 0.3, 0.4 - 0.4).
  Experiment experiment = config_of(OptimizerKind::lars);
  experiment.optimizer.trust_coefficient = 1;
  holds(stepped(experiment, scalar(device, 0.5)).weight.value, {3 - 0.1 * 5 * 0.6, -4});
}

TEST_CASE("optimizer: bf16 compute copies -> updated by each step") {
  Device& device = tests::device();
  for (auto const kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::lars}) {
    Network network(device, Dtype::bf16);
    Experiment const experiment = config_of(kind);
    Optimizer optimizer(network.all(), experiment);
    optimizer.step(make_step_scalars(device, update_rule(experiment, {}, Role::weight), 0.1, 1));
    for (Parameter const* p : {&network.weight, &network.bias, &network.norm})
      CHECK(tests::values(p->compute) == tests::values(tests::as(p->value, Dtype::bf16)));
  }
}

TEST_CASE("optimizer: state -> named after its parameters, initialized to 0") {
  Experiment experiment = config_of(OptimizerKind::sgd);
  std::vector<std::string> const velocities{"conv.weight.velocity", "conv.bias.velocity",
                                            "bn.weight.velocity"};
  CHECK(names_of(experiment) == velocities);
  CHECK(names_of(config_of(OptimizerKind::lars)) == velocities);
  experiment.optimizer.momentum = 0;
  CHECK(names_of(experiment).empty());
  for (auto const kind : {OptimizerKind::adam, OptimizerKind::adamw}) {
    experiment.optimizer.kind = kind;  // beta1 = 0 still stores the first moment
    CHECK(names_of(experiment) ==
          std::vector<std::string>{"conv.weight.first", "conv.weight.second", "conv.bias.first",
                                   "conv.bias.second", "bn.weight.first", "bn.weight.second"});
  }
}
