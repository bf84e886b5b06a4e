#include "tests/support/fake_cuda/cudnn_graph.h"
#include <algorithm>
#include <set>

namespace tests::fake_cuda::cudnn {

using core::join;
using Ints = std::vector<int64_t>;

namespace {

/// Elements of a tensor must not share memory: sorted by stride, each dimension must step over all
/// of the dimensions before it.
bool is_injective(Strided const& t) {
  std::vector<std::pair<int64_t, int64_t>> dimensions;  // stride, size
  for (size_t i = 0; i < t.size.size(); ++i)
    if (t.size[i] > 1) dimensions.emplace_back(t.stride[i], t.size[i]);
  std::sort(dimensions.begin(), dimensions.end());
  int64_t last = 0;
  for (auto const& [stride, size] : dimensions) {
    if (stride <= last) return false;
    last += (size - 1) * stride;
  }
  return true;
}

Operand operand_of(Descriptor const& d) {
  auto const sizes = d.values<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  auto const strides = d.values<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
  auto const type = d.value<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
  Operand operand{d.value<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID),
                  d.value<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT),
                  d.value_or(CUDNN_ATTR_TENSOR_IS_VIRTUAL, false),
                  {}};
  operand.tensor.dtype = type == CUDNN_DATA_FLOAT ? core::Dtype::f32 : core::Dtype::bf16;
  std::copy(sizes.begin(), sizes.end(), operand.tensor.size.begin());
  std::copy(strides.begin(), strides.end(), operand.tensor.stride.begin());
  return operand;
}

void check_tensor(Descriptor const& d) {
  auto const sizes = d.values<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  auto const strides = d.values<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
  auto const type = d.value<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
  require(sizes.size() == strides.size(),
          join("tensor: ", sizes.size(), " dimensions, ", strides.size(), " strides"));
  for (Ints const* all : {&sizes, &strides})
    for (int64_t const number : *all) require(number > 0, join("tensor: size or stride ", number));
  support(sizes.size() == 4, join("tensor: ", sizes.size(), " dimensions"));
  support(type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16, "tensor: data type",
          CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
  Operand const operand = operand_of(d);
  auto const bytes = static_cast<int64_t>(core::size_of(operand.tensor.dtype));
  require(operand.alignment > 0 && operand.alignment % bytes == 0,
          join("tensor: alignment to ", operand.alignment, " bytes of elements of ", bytes));
  require(is_injective(operand.tensor), "tensor: strides with which elements share memory");
}

std::array<int64_t, 2> pair_of(Descriptor const& d, Descriptor::Name name) {
  auto const values = d.values<int64_t>(name);
  return {values[0], values[1]};
}

Sliding sliding_of(Descriptor const& d) {
  return {pair_of(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
          pair_of(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
          pair_of(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS),
          pair_of(d, CUDNN_ATTR_CONVOLUTION_DILATIONS),
          d.value<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CONVOLUTION};
}

void check_window(Descriptor const& d) {
  auto const dimensions = d.value<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
  for (auto const& [name, least] : {std::pair{CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, int64_t{1}},
                                    {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0},
                                    {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 0},
                                    {CUDNN_ATTR_CONVOLUTION_DILATIONS, 1}}) {
    auto const values = d.values<int64_t>(name);
    require(static_cast<int64_t>(values.size()) == dimensions,
            join("window: ", values.size(), " values in ", dimensions, " dimensions"));
    for (int64_t const value : values) require(value >= least, join("window: value ", value));
  }
  support(dimensions == 2, join("window: ", dimensions, " dimensions"));
  support(d.value<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT,
          "window: sums of another type than float", CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
}

void check_pointwise(Descriptor const& d) {
  support(d.value<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD &&
              d.value<cudnnDataType_t>(CUDNN_ATTR_POINTWISE_MATH_PREC) == CUDNN_DATA_FLOAT,
          "pointwise: only additions in float");
}

Graph forward(Descriptor const& d) {
  return {Pass::forward,
          sliding_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y)),
          d.value<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA),
          d.value<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA)};
}

Graph backward_data(Descriptor const& d) {
  return {Pass::backward_data,
          sliding_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY)),
          d.value<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA),
          d.value<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA)};
}

Graph backward_filter(Descriptor const& d) {
  return {Pass::backward_filter,
          sliding_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY)),
          d.value<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA),
          d.value<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA)};
}

/// Returns the meaning of a convolution operation; empty for other descriptors.
std::optional<Graph> convolution_of(Descriptor const& d) {
  switch (d.type()) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return forward(d);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return backward_data(d);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return backward_filter(d);
    default:
      return {};
  }
}

void check_convolution(Graph const& c) {
  std::string const misfit = c.geometry().misfit();
  require(misfit.empty(), "convolution: " + misfit);
  support(c.x.tensor.dtype == c.w.tensor.dtype, "convolution: x and w differ in type",
          CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
}

Addition addition_of(Descriptor const& d) {
  return {d.value_or(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1.0f),
          d.value_or(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1.0f),
          operand_of(d.link(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)),
          operand_of(d.link(CUDNN_ATTR_OPERATION_POINTWISE_YDESC))};
}

void check_addition(Descriptor const& d) {
  Strided const x = operand_of(d.link(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)).tensor;
  Addition const addition = addition_of(d);
  require(x.size == addition.result.tensor.size, "pointwise: x and y differ in size");
  for (size_t i = 0; i < x.size.size(); ++i) {
    int64_t const size = addition.bias.tensor.size[i];
    require(size == 1 || size == x.size[i], "pointwise: b cannot be broadcast to x");
  }
}

void check_graph(Graph const& graph) {
  std::set<int64_t> uids;
  auto operands = graph.operands();
  if (graph.addition) operands.push_back(graph.convolved());
  for (Operand const& operand : operands)
    require(uids.insert(operand.uid).second, join("graph: two tensors with id ", operand.uid),
            CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES);
  require(!graph.result().is_virtual, "graph: the result is virtual");
  for (Operand const* input : {&graph.x, &graph.w, &graph.y})
    require(input == &graph.convolved() || !input->is_virtual, "graph: an input is virtual");
}

}  // namespace

Operand const& Graph::convolved() const {
  return pass == Pass::forward ? y : pass == Pass::backward_data ? x : w;
}

Operand const& Graph::result() const { return addition ? addition->result : convolved(); }

std::vector<Operand> Graph::operands() const {
  std::vector<Operand> operands;
  for (Operand const* operand : {&x, &w, &y})
    if (operand != &convolved()) operands.push_back(*operand);
  if (addition) operands.push_back(addition->bias);
  operands.push_back(result());
  return operands;
}

void check(Descriptor const& d) {
  switch (d.type()) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return check_tensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return check_window(d);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
      return check_pointwise(d);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return check_addition(d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return check_graph(graph_of(d));
    default:
      if (auto const convolution = convolution_of(d)) check_convolution(*convolution);
  }
}

Graph graph_of(Descriptor const& d) {
  constexpr auto pattern = CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
  auto const& operations = d.links(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  auto graph = convolution_of(*operations[0]);
  support(graph && operations.size() <= 2, "graph: not a convolution", pattern);
  if (operations.size() == 1) return *graph;
  Descriptor const& second = *operations[1];
  support(second.type() == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR &&
              graph->pass == Pass::forward && graph->y.is_virtual && graph->beta == 0,
          "graph: not a convolution and an addition", pattern);
  Operand const x = operand_of(second.link(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
  support(x.uid == graph->y.uid && x.is_virtual, "graph: the operations are not connected",
          pattern);
  graph->addition = addition_of(second);
  return *graph;
}

}  // namespace tests::fake_cuda::cudnn
