#pragma once
#include <cudnn.h>
#include <optional>
#include <string>
#include <vector>
#include "core/cuda/handle.h"

namespace core::cuda {

/// Returns the name of the status and cuDNN's last error string.
std::string explain(cudnnStatus_t status);

/// Throws: Error with cuDNN's explanation and the calling line, unless `status` is success.
void check(cudnnStatus_t status, Place at = Place::here());

using Ints = std::vector<int64_t>;

/// cuDNN attribute type for each C++ type.
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

/// Descriptor of cuDNN's backend API: set attributes, then finalize. Descriptors passed to set()
/// may be destroyed afterwards.
/// Throws: Error with the calling line if cuDNN rejects a call.
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

  /// Finalizes the descriptor. Returns the status instead of throwing, because it may mean that
  /// cuDNN has no such engine or plan, which is not an error.
  [[nodiscard]] cudnnStatus_t finalise() { return cudnnBackendFinalize(handle_.get()); }

  /// Returns up to `most` values of an attribute.
  template <class T>
  std::vector<T> get(Attribute name, int64_t most, Place at = Place::here()) const {
    std::vector<T> values(static_cast<size_t>(most));
    values.resize(get(name, attribute_type(T{}), most, values.data(), at));
    return values;
  }
  /// Returns all values of an attribute that holds descriptors of this type.
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

/// Arguments of a plan's execution: addresses of the operands by their ids in the graph, and of the
/// workspace.
Descriptor variant_pack(Ints const& names, std::vector<void*> const& addresses, void* workspace);

/// Target GPU of plans.
class Gpu {
 public:
  explicit Gpu(cudnnHandle_t handle) : handle_(handle) {}

  /// Returns a GPU described by cuDNN's JSON of its properties. Plans can then be created without
  /// this GPU, so that tests can check that every convolution has a plan.
  static Gpu described(std::string const& properties);

  void tell_graph(Descriptor& graph) const;
  void tell_heuristics(Descriptor& heuristics) const;
  void tell_plan(Descriptor& plan) const;

 private:
  Gpu() = default;

  cudnnHandle_t handle_ = nullptr;
  std::optional<Descriptor> properties_;  // set if there is no handle
};

}  // namespace core::cuda
