#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::values;

namespace {

using Values = std::vector<double>;

/// y = x; the gradient passes through unchanged.
Var pass(Tape& tape, Var const& x) {
  return tape.record(x.value, [&tape, x](Tensor const& dy) { tape.add_grad(x, dy); });
}

Tensor three(Device& device, Values const& numbers) {
  return tests::tensor<double>(device, {3}, numbers);
}

}  // namespace

TEST_CASE("tape: several gradients of one value -> their sum; shared tensors are not overwritten",
          "[tape]") {
  Device& device = tests::device();
  Tape tape;
  auto const x = tape.input(three(device, {1, 2, 3}));
  auto const a = pass(tape, x), b = pass(tape, x);
  auto const y = add(tape, add(tape, a, b), pass(tape, a));
  Tensor const seed = three(device, {1, 10, 100});
  tape.backward(y, seed);
  CHECK(values(y.value) == Values{3, 6, 9});
  CHECK(values(tape.grad(x)) == Values{3, 30, 300});
  CHECK(values(seed) == Values{1, 10, 100});
}

TEST_CASE("tape: take_grad -> the gradient so far if no other tensor shares it, else empty",
          "[tape]") {
  Device& device = tests::device();
  Tape tape;
  auto const x = tape.input(three(device, {1, 2, 3}));
  CHECK_FALSE(tape.take_grad(x));
  CHECK_FALSE(tape.take_grad(Tape::constant(x.value)));
  Tensor shared = three(device, {4, 5, 6});
  tape.add_grad(x, shared);
  CHECK_FALSE(tape.take_grad(x));
  shared = {};
  Tensor const taken = tape.take_grad(x);
  REQUIRE(taken);
  CHECK(values(taken) == Values{4, 5, 6});
  CHECK_FALSE(tape.grad(x));
  tape.add_grad(x, taken);
  CHECK(values(tape.grad(x)) == Values{4, 5, 6});
}

TEST_CASE("tape: constants and unused values -> no gradient", "[tape]") {
  Device& device = tests::device();
  Tape tape;
  auto const constant = Tape::constant(three(device, {1, 2, 3}));
  auto const x = tape.input(three(device, {1, 1, 1})), unused = tape.input(x.value);
  bool ran = false;
  tape.record(x.value, [&ran](Tensor const&) { ran = true; });
  CHECK_FALSE(constant.requires_grad());
  CHECK(x.requires_grad());
  tape.backward(add(tape, x, constant), three(device, {4, 5, 6}));
  CHECK(values(tape.grad(x)) == Values{4, 5, 6});
  CHECK_FALSE(tape.grad(unused));
  CHECK_FALSE(ran);
}

TEST_CASE("tape: parameter used twice -> ready once, after its last use in backward", "[tape]") {
  Device& device = tests::device();
  std::vector<std::string> log;
  auto const parameter = [&](std::string const& name) {
    Tensor const value = three(device, {1, 2, 3});
    return Parameter{name,  Role::weight, value,
                     value, {},           [&log](Parameter& ready) { log.push_back(ready.name); }};
  };
  Parameter first = parameter("first"), second = parameter("second");
  Tape tape;
  auto const w = tape.parameter(first);
  auto const a = add(tape, w, w);
  auto const mark = tape.record(a.value, [&](Tensor const& dy) {
    log.push_back("between");
    tape.add_grad(a, dy);
  });
  tape.backward(add(tape, mark, tape.parameter(second)), three(device, {1, 2, 4}));
  CHECK(log == std::vector<std::string>{"second", "between", "first"});
  CHECK(values(first.grad) == Values{2, 4, 8});
  CHECK(values(second.grad) == Values{1, 2, 4});
}

TEST_CASE("tape: backward function has run -> released with its captures", "[tape]") {
  Device& device = tests::device();
  Tape tape;
  auto const x = tape.input(three(device, {1, 2, 3}));
  auto const held = std::make_shared<int>(1);
  std::vector<long> owners;
  auto const early = tape.record(x.value, [&, x](Tensor const& dy) {
    owners.push_back(held.use_count());
    tape.add_grad(x, dy);
  });
  auto const late = tape.record(x.value, [&, early, held](Tensor const& dy) {
    owners.push_back(held.use_count());
    tape.add_grad(early, dy);
  });
  tape.backward(late, three(device, {1, 1, 1}));
  CHECK(owners == std::vector<long>{2, 1});
}

TEST_CASE("tape: inference -> records nothing", "[tape]") {
  Device& device = tests::device();
  Tape tape(Mode::inference);
  auto const held = std::make_shared<int>(1);
  auto const x = tape.input(three(device, {1, 2, 3}));
  auto const y = tape.record(x.value, [held](Tensor const&) {});
  CHECK(held.use_count() == 1);
  CHECK_THROWS_WITH(tape.backward(y, x.value), Catch::Contains("inference"));
}
