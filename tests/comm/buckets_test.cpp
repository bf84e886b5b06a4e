#include "comm/buckets.h"
#include "comm/self.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

TEST_CASE("gradient buckets: one rank -> gradients are not copied") {
  core::Device& device = tests::device();
  comm::Self self;
  core::Parameter weight;
  weight.name = "weight";
  weight.value = tests::random(device, {3}, core::Dtype::f32, 1);
  comm::GradientBuckets buckets(self, {&weight});
  for (unsigned step = 0; step < 2; ++step) {
    core::Tensor const grad = tests::random(device, {3}, core::Dtype::f32, step);
    weight.grad = grad;
    weight.ready(weight);
    buckets.finish();
    CHECK(weight.grad.raw() == grad.raw());
    CHECK_THROWS_WITH(buckets.finish(), Catch::Contains("missing gradient of weight"));
  }
}
