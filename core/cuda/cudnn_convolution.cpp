#include "core/cuda/cudnn_convolution.h"

namespace core::cuda {

namespace {

cudnnDataType_t type_of(Dtype dtype) {
  core::check(dtype == Dtype::f32 || dtype == Dtype::bf16,
              "cuDNN convolutions support f32 and bf16, not ", dtype);
  return dtype == Dtype::f32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

Descriptor finalised(Descriptor descriptor, Place at = Place::here()) {
  check(descriptor.finalise(), at);
  return descriptor;
}

Descriptor sliding(Window const& window) {
  Ints const padding{window.padding.h, window.padding.w};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Ints{window.stride.h, window.stride.w})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Ints{window.dilation.h, window.dilation.w});
  return finalised(std::move(convolution));
}

/// Descriptor type of an operation, and the names of its attributes.
struct Names {
  cudnnBackendDescriptorType_t type;
  Descriptor::Attribute x, w, y, window, alpha, beta;
};

Names names_of(Pass pass) {
  switch (pass) {
    case Pass::backward_input:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Pass::backward_weights:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    case Pass::forward:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

/// Convolution operation without its bias; writes to y.
Descriptor product(Convolution const& c, Descriptor const& y) {
  Names const names = names_of(c.pass);
  Descriptor operation(names.type);
  operation.set(names.x, finalised(channels_last(operand_x, c.dtype, c.x, c.alignment)))
      .set(names.w, finalised(channels_last(operand_w, c.dtype, c.w, c.alignment)))
      .set(names.y, y)
      .set(names.window, sliding(c.window))
      .set(names.alpha, 1.0f)
      .set(names.beta, c.store == Store::add ? 1.0f : 0.0f);
  return finalised(std::move(operation));
}

/// Pointwise operation y := sums + bias.
Descriptor addition(Convolution const& c, Descriptor const& sums, Descriptor const& y) {
  Descriptor add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  add.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_ADD)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  Shape const bias{1, 1, 1, c.y[3]};
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, finalised(std::move(add)))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, sums)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
           finalised(channels_last(operand_bias, c.dtype, bias, c.alignment)))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  return finalised(std::move(operation));
}

std::vector<Descriptor> operations_of(Convolution const& c) {
  std::vector<Descriptor> operations;
  Descriptor const y = finalised(channels_last(operand_y, c.dtype, c.y, c.alignment));
  if (!c.bias) {
    operations.push_back(product(c, y));
    return operations;
  }
  Descriptor sums = channels_last(operand_bias + 1, Dtype::f32, c.y, 16);
  sums.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  check(sums.finalise());
  operations.push_back(product(c, sums));
  operations.push_back(addition(c, sums, y));
  return operations;
}

}  // namespace

Descriptor channels_last(int64_t name, Dtype dtype, Shape const& shape, int64_t alignment) {
  int64_t const n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, name)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, type_of(dtype))
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, Ints{n, c, h, w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, Ints{h * w * c, 1, w * c, c})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  return tensor;
}

Ints Convolution::key() const {
  Ints key{static_cast<int64_t>(pass),
           static_cast<int64_t>(dtype),
           bias ? 1 : 0,
           static_cast<int64_t>(store),
           alignment,
           window.stride.h,
           window.stride.w,
           window.padding.h,
           window.padding.w,
           window.dilation.h,
           window.dilation.w};
  for (Shape const* shape : {&x, &w, &y}) key.insert(key.end(), shape->begin(), shape->end());
  return key;
}

Descriptor graph_of(Convolution const& convolution, Gpu const& gpu) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_of(convolution));
  gpu.tell_graph(graph);
  return finalised(std::move(graph));
}

std::ostream& operator<<(std::ostream& out, Convolution const& c) {
  auto const pair = [](Window::Pair const& p) { return join('(', p.h, ", ", p.w, ')'); };
  char const* const passes[] = {"convolution", "gradient of the input", "gradient of the weights"};
  return out << passes[static_cast<int>(c.pass)] << (c.bias ? " with bias, " : ", ")
             << (c.store == Store::add ? "added, " : "") << c.dtype << ", images " << c.x
             << ", weights " << c.w << ", result " << c.y << ", stride " << pair(c.window.stride)
             << ", padding " << pair(c.window.padding) << ", dilation " << pair(c.window.dilation);
}

}  // namespace core::cuda
