#include "comm/mpi/reduce.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using core::Dtype;
using core::Tensor;

namespace {

std::vector<std::byte const*> parts_of(std::vector<Tensor> const& tensors) {
  std::vector<std::byte const*> parts;
  for (Tensor const& t : tensors) parts.push_back(t.raw());
  return parts;
}

}  // namespace

TEST_CASE("reduce: sum -> terms added in the order of the parts") {
  // In f32, 1e8 + 1 is 1e8, so any other order yields another sum.
  std::vector<Tensor> const tensors{tests::tensor<float>(tests::host(), {2}, {1, -1e8}),
                                    tests::tensor<float>(tests::host(), {2}, {1e8, 1e8}),
                                    tests::tensor<float>(tests::host(), {2}, {-1e8, 1})};
  Tensor out(tests::host(), {2}, Dtype::f32);
  comm::reduce(comm::Reduce::sum, Dtype::f32, parts_of(tensors), 2, out.raw());
  CHECK(tests::values(out) == std::vector<double>{0, 1});
}

TEST_CASE("reduce: output is one of the parts, several blocks -> correct") {
  int64_t const count = 3001;
  std::vector<double> ascending, descending, sums, maxima;
  for (int64_t i = 0; i < count; ++i) {
    ascending.push_back(static_cast<double>(i));
    descending.push_back(static_cast<double>(2000 - i));
    sums.push_back(2000);
    maxima.push_back(std::max(ascending.back(), descending.back()));
  }
  for (size_t into : {size_t{0}, size_t{1}})
    for (auto const how : {comm::Reduce::sum, comm::Reduce::max}) {
      std::vector<Tensor> tensors{tests::tensor<int64_t>(tests::host(), {count}, ascending),
                                  tests::tensor<int64_t>(tests::host(), {count}, descending)};
      comm::reduce(how, Dtype::i64, parts_of(tensors), count, tensors[into].raw());
      CHECK(tests::values(tensors[into]) == (how == comm::Reduce::sum ? sums : maxima));
    }
}

TEST_CASE("reduce: bf16 -> throws") {
  CHECK_THROWS_WITH(comm::reduce(comm::Reduce::sum, Dtype::bf16, {}, 0, nullptr),
                    Catch::Contains("bf16"));
}
