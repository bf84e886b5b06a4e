#pragma once
#include <catch2/catch.hpp>
#include <random>
#include "tests/support/reference.h"
#include "tests/train/files.h"
#include "train/checkpoint/checkpoint.h"

namespace tests {

/// State with tensors of every dtype, a scalar and an empty tensor. Their bits are a function of a
/// number and the rank, and include NaN, infinities and subnormals.
class CheckpointState {
 public:
  CheckpointState(core::Device& device, int rank, int64_t head_rows) : rank_(rank) {
    auto const add = [&](auto& list, char const* name, core::Shape shape, core::Dtype dtype) {
      list.push_back({name, core::Tensor(device, std::move(shape), dtype)});
    };
    using core::Dtype;
    add(snapshot.trunk, "conv.weight", {3, 3, 3, 2}, Dtype::f32);
    add(snapshot.trunk, "conv.copy", {31}, Dtype::bf16);
    add(snapshot.trunk, "scalar", {}, Dtype::f64);
    add(snapshot.trunk, "none", {0, 4}, Dtype::f32);
    add(snapshot.trunk, "counts", {5, 1}, Dtype::i32);
    add(snapshot.trunk, "bytes", {13}, Dtype::u8);
    add(snapshot.head, "head.weight", {head_rows, 4}, Dtype::f32);
    add(snapshot.head, "head.rows", {head_rows}, Dtype::i64);
    snapshot.classes = 7;
    snapshot.seed = UINT64_MAX;
    snapshot.image = {28, 30, 3};
  }

  train::Snapshot snapshot;

  void fill(int64_t number) {
    each(number, [](core::Tensor& tensor, std::string const& bits) {
      tensor.device().upload(bits.data(), tensor);
    });
  }

  bool holds(int64_t number) {
    bool same = true;
    each(number, [&](core::Tensor& tensor, std::string const& bits) {
      same = same && tests::bytes(tensor) == bits;
    });
    return same;
  }

 private:
  template <class F>
  void each(int64_t number, F const& f) {
    std::mt19937 trunk(static_cast<unsigned>(number));
    std::mt19937 head(static_cast<unsigned>(1000 * number + rank_));
    for (auto& [name, tensor] : snapshot.trunk) f(tensor, bits(trunk, tensor.bytes()));
    for (auto& [name, tensor] : snapshot.head) f(tensor, bits(head, tensor.bytes()));
  }

  static std::string bits(std::mt19937& rng, size_t count) {
    std::string text(count, '\0');
    for (char& byte : text) byte = static_cast<char>(rng());
    return text;
  }

  int rank_;
};

/// Message of the E that `work` throws; fails the test if it throws no E.
template <class E, class F>
std::string thrown(F const& work) {
  try {
    work();
  } catch (E const& error) {
    return error.what();
  } catch (std::exception const& error) {
    FAIL_CHECK("error of another type: " << error.what());
    return "";
  }
  FAIL_CHECK("no error was thrown");
  return "";
}

}  // namespace tests
