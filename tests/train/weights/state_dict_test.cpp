#include "train/weights/state_dict.h"
#include <catch2/catch.hpp>
#include "core/cpu/device.h"
#include "layers/trunk/conv.h"
#include "layers/trunk/linear.h"
#include "layers/trunk/norm.h"

namespace train {
namespace {

using core::Dtype;
using core::Shape;

TEST_CASE("channels_first, channels_last: rows of a weight -> permuted, and back", "[state_dict]") {
  // Two rows of two pixels with three channels: pixel p, channel c of row r is 100 r + 10 p + c.
  std::vector<float> const here{0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112};
  std::vector<float> const file{0, 10, 1, 11, 2, 12, 100, 110, 101, 111, 102, 112};
  CHECK(channels_first(here, 2, 3) == file);
  CHECK(channels_last(file, 2, 3) == here);
  CHECK(channels_first(here, 2, 0) == here);
  CHECK(channels_last(here, 2, 0) == here);
  CHECK(channels_first({}, 0, 3).empty());
}

TEST_CASE("in_file: parameter -> PyTorch's name, shape and dtype", "[state_dict]") {
  core::cpu::Cpu device;
  layers::Context const context{device, Dtype::bf16};
  layers::Conv2d conv(context, "conv", {.in = 3, .out = 5, .kernel = 7, .bias = true});
  layers::Linear plain(context, "fc", 24, 2, false), image(context, "fc", 24, 2, false, 4);
  layers::BatchNorm norm(context, "bn", 6);
  auto const first = [](layers::Layer& layer, size_t at = 0) {
    return layers::parameters(layer)[at];
  };
  auto const weight = in_file(*first(conv));
  CHECK((weight.name == "conv.weight" && weight.shape == Shape{5, 3, 7, 7}));
  CHECK(weight.dtype == Dtype::f32);
  CHECK(channels_of(*first(conv)) == 3);
  CHECK(in_file(*first(conv, 1)).shape == Shape{5});
  CHECK(channels_of(*first(conv, 1)) == 0);
  CHECK(in_file(*first(image)).shape == Shape{2, 24});
  CHECK(channels_of(*first(image)) == 4);
  CHECK(channels_of(*first(plain)) == 0);
  auto const count = in_file(*first(norm, 4));
  CHECK((count.name == "bn.num_batches_tracked" && count.dtype == Dtype::i64));
  CHECK(count.shape == Shape{});
}

TEST_CASE("classifier_prefix: trunk without a layer fc -> \"fc.\"; with it -> empty",
          "[state_dict]") {
  core::cpu::Cpu device;
  layers::Context const context{device};
  CHECK(classifier_prefix(*make_trunk(context, layers::ResnetTrunk{.width = 2}, {8, 8, 3})) ==
        "fc.");
  CHECK(classifier_prefix(*make_trunk(context, layers::ConvTrunk{}, {8, 8, 3})) == "fc.");
  CHECK(classifier_prefix(*make_trunk(context, layers::IresnetTrunk{.width = 2}, {8, 8, 3})) == "");
}

TEST_CASE("part_of: split by class -> rows; row_parallel -> columns", "[state_dict]") {
  auto const rows = part_of(HeadKind::softmax, 7, 5, 1, 3);
  CHECK((rows.row == 3 && rows.rows == 2 && rows.column == 0 && rows.columns == 5));
  auto const columns = part_of(HeadKind::row_parallel, 7, 5, 2, 3);
  CHECK((columns.row == 0 && columns.rows == 7 && columns.column == 4 && columns.columns == 1));
}

}  // namespace
}  // namespace train
