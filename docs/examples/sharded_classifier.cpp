// Trains a network whose last layer is split by class over the ranks of an MPI run. Overfits one
// batch, and exits with 1 if the loss does not fall below 0.1.
#include <iostream>
#include "comm/buckets.h"
#include "comm/mpi/communicator.h"
#include "core/cpu/device.h"
#include "layers/head/sharded_head.h"
#include "layers/trunk/trunk.h"

namespace {

int train(comm::Session& session) {
  core::cpu::Cpu device;
  comm::Mpi ranks(session);

  // Every rank holds the whole trunk and its share of the 1000 classes.
  layers::Context const context{device};
  layers::SmallTrunk const shape{.width = 4, .features = 32};
  auto const trunk = layers::make_trunk(context, shape, {.height = 16, .width = 16, .channels = 3});
  layers::ShardedHead head(context, ranks,
                           {.classes = 1000, .features = 32, .moments = layers::Moments::none});
  comm::GradientBuckets buckets(ranks, layers::parameters(*trunk));

  // Four noise images per rank, each with a class of its own.
  comm::Counts const counts(static_cast<size_t>(ranks.size()), 4);
  core::Tensor images(device, {4, 16, 16, 3}, core::Dtype::f32);
  core::Tensor labels(device, {4}, core::Dtype::i64), one(device, {1}, core::Dtype::f32);
  auto& kernels = device.kernels();
  int64_t const first = 4 * ranks.rank();
  kernels.random_normal({1, core::Purpose::synthetic}, first * 16 * 16 * 3, 0, 1, images);
  for (int64_t i = 0; i < 4; ++i) labels.data<int64_t>()[i] = 123 * (first + i) % 1000;
  kernels.fill(1, one);

  core::UpdateRule rule;  // SGD without momentum
  rule.step_scalars = core::make_step_scalars(device, rule, 0.3, 1);
  rule.gradient_scale = head.gradient_scale();  // 0 skips the step if its loss is not finite
  head.set_step({rule, rule});
  float loss = 0;
  for (int step = 0; step < 60; ++step) {
    core::Tape tape;
    auto const x = trunk->forward(tape, core::Tape::constant(images));
    auto const mean = head.loss(tape, x, labels, counts);  // the same on every rank
    tape.backward(mean, one);
    head.finish();     // completes the update of the head
    buckets.finish();  // waits for the trunk's gradients, summed over ranks
    for (auto* const p : layers::parameters(*trunk)) {
      core::UpdateState state{.w = p->value, .first = {}, .second = {}, .copy = {}};
      if (p->trainable()) kernels.update(rule, 0, {}, p->grad, state);
    }
    loss = *mean.value.data<float>();
    if (ranks.rank() == 0 && step % 10 == 0) std::cout << "loss " << loss << '\n';
  }
  return loss < 0.1f ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  comm::Session session(argc, argv);
  return session.run([&] { return train(session); },
                     [](std::exception const& error) {
                       std::cerr << error.what() << '\n';
                       return 1;
                     });
}
