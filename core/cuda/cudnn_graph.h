#pragma once
#include <cudnn.h>
#include <optional>
#include <string>
#include <vector>
#include "core/cuda/handle.h"

namespace core::cuda {

/// What cuDNN says of a failure: its name, and the reason it last gave.
std::string explain(cudnnStatus_t status);

/// Throws Error with cuDNN's explanation and the calling line, unless `status` is success.
void check(cudnnStatus_t status, Place at = Place::here());

using Ints = std::vector<int64_t>;

/// The type that cuDNN is told with a value of each C++ type.
constexpr cudnnBackendAttributeType_t attribute_type(int64_t) { return CUDNN_TYPE_INT64; }
constexpr cudnnBackendAttributeType_t attribute_type(float) { return CUDNN_TYPE_FLOAT; }
constexpr cudnnBackendAttributeType_t attribute_type(bool) { return CUDNN_TYPE_BOOLEAN; }
constexpr cudnnBackendAttributeType_t attribute_type(char) { return CUDNN_TYPE_CHAR; }
constexpr cudnnBackendAttributeType_t attribute_type(void*) { return CUDNN_TYPE_VOID_PTR; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnHandle_t) { return CUDNN_TYPE_HANDLE; }
constexpr cudnnBackendAttributeType_t attribute_type(cudnnDataType_t) {
  return CUDNN_TYPE_DATA_TYPE;
}
constexpr cudnnBackendAttributeType_t attribute_type(cudnnConvolutionMode_t) {
  return CUDNN_TYPE_CONVOLUTION_MODE;
}
constexpr cudnnBackendAttributeType_t attribute_type(cudnnPointwiseMode_t) {
  return CUDNN_TYPE_POINTWISE_MODE;
}
constexpr cudnnBackendAttributeType_t attribute_type(cudnnBackendHeurMode_t) {
  return CUDNN_TYPE_HEUR_MODE;
}
constexpr cudnnBackendAttributeType_t attribute_type(cudnnBackendNumericalNote_t) {
  return CUDNN_TYPE_NUMERICAL_NOTE;
}

/// An object of cuDNN's backend API, which is made by setting attributes and finalising. It keeps
/// what it needs of the descriptors it was given. Errors carry the calling line.
class Descriptor {
 public:
  using Attribute = cudnnBackendAttributeName_t;

  explicit Descriptor(cudnnBackendDescriptorType_t type, Place at = Place::here());

  template <class T>
  Descriptor& set(Attribute name, T const& value, Place at = Place::here()) {
    return set(name, attribute_type(T{}), 1, &value, at);
  }
  template <class T>
  Descriptor& set(Attribute name, std::vector<T> const& values, Place at = Place::here()) {
    return set(name, attribute_type(T{}), static_cast<int64_t>(values.size()), values.data(), at);
  }
  Descriptor& set(Attribute name, Descriptor const& value, Place at = Place::here());
  Descriptor& set(Attribute name, std::vector<Descriptor> const& values, Place at = Place::here());

  /// Where cuDNN has no such thing, as opposed to a mistake of ours, the status says so.
  [[nodiscard]] cudnnStatus_t finalise() { return cudnnBackendFinalize(handle_.get()); }

  /// Up to `most` values.
  template <class T>
  std::vector<T> get(Attribute name, int64_t most, Place at = Place::here()) const {
    std::vector<T> values(static_cast<size_t>(most));
    values.resize(get(name, attribute_type(T{}), most, values.data(), at));
    return values;
  }
  /// All values of an attribute that holds descriptors of this type.
  std::vector<Descriptor> get(Attribute name, cudnnBackendDescriptorType_t type,
                              Place at = Place::here()) const;

  cudnnBackendDescriptor_t raw() const { return handle_.get(); }

 private:
  Descriptor& set(Attribute name, cudnnBackendAttributeType_t type, int64_t count,
                  void const* values, Place at);
  size_t get(Attribute name, cudnnBackendAttributeType_t type, int64_t most, void* values,
             Place at) const;

  Owned<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> handle_;
};

/// What a plan is run on: addresses of the operands, by their names in the graph, and of the plan's
/// workspace.
Descriptor variant_pack(Ints const& names, std::vector<void*> const& addresses, void* workspace);

/// The GPU that plans are made for.
class Gpu {
 public:
  explicit Gpu(cudnnHandle_t handle) : handle_(handle) {}

  /// By its properties, in cuDNN's JSON. Plans can then be made where there is no such GPU, which
  /// is how tests see that each convolution has one.
  static Gpu described(std::string const& properties);

  void tell_graph(Descriptor& graph) const;
  void tell_heuristics(Descriptor& heuristics) const;
  void tell_plan(Descriptor& plan) const;

 private:
  Gpu() = default;

  cudnnHandle_t handle_ = nullptr;
  std::optional<Descriptor> properties_;  // where there is no handle
};

}  // namespace core::cuda
