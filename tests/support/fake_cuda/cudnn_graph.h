#pragma once
#include <optional>
#include "tests/support/fake_cuda/convolution.h"
#include "tests/support/fake_cuda/cudnn_descriptor.h"

/// Meaning of cuDNN's descriptors.
namespace tests::fake_cuda::cudnn {

struct Operand {
  int64_t uid, alignment;
  bool is_virtual;
  Strided tensor;
};

/// result := x_factor x + bias_factor bias, where x is the result of a convolution.
struct Addition {
  double x_factor, bias_factor;
  Operand bias, result;
};

/// A convolution, result := alpha sums + beta result, possibly with an addition. One of x, w and y
/// is the result.
struct Graph {
  Pass pass;
  Sliding window;
  Operand x, w, y;
  double alpha, beta;
  std::optional<Addition> addition{};

  Geometry geometry() const { return {x.tensor, w.tensor, y.tensor, window}; }
  Operand const& convolved() const;  ///< the result of the convolution
  Operand const& result() const;     ///< the result of the graph
  /// All operands in memory; the result is the last.
  std::vector<Operand> operands() const;
};

/// Throws: Refused if the attributes of the descriptor contradict each other, or no engine supports
/// them.
void check(Descriptor const& descriptor);

/// Returns the meaning of an operation graph.
/// Throws: Refused for other operations than a convolution or a convolution and an addition.
Graph graph_of(Descriptor const& graph);

}  // namespace tests::fake_cuda::cudnn
