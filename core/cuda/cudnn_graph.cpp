#include "core/cuda/cudnn_graph.h"
#include <algorithm>
#include <array>

namespace core::cuda {

std::string explain(cudnnStatus_t status) {
  std::array<char, 1024> reason{};
  cudnnGetLastErrorString(reason.data(), reason.size() - 1);
  std::string const name = cudnnGetErrorString(status);
  return reason[0] == '\0' ? name : name + ": " + reason.data();
}

void check(cudnnStatus_t status, Place at) {
  if (status == CUDNN_STATUS_SUCCESS) [[likely]]
    return;
  fail({"cuDNN: ", at}, explain(status));
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type, Place at) {
  cudnnBackendDescriptor_t handle = nullptr;
  check(cudnnBackendCreateDescriptor(type, &handle), at);
  handle_.reset(handle);
}

Descriptor& Descriptor::set(Attribute name, cudnnBackendAttributeType_t type, int64_t count,
                            void const* values, Place at) {
  check(cudnnBackendSetAttribute(handle_.get(), name, type, count, values), at);
  return *this;
}

Descriptor& Descriptor::set(Attribute name, Descriptor const& value, Place at) {
  cudnnBackendDescriptor_t const raw = value.raw();
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw, at);
}

Descriptor& Descriptor::set(Attribute name, std::vector<Descriptor> const& values, Place at) {
  std::vector<cudnnBackendDescriptor_t> raw;
  raw.reserve(values.size());
  for (Descriptor const& value : values) raw.push_back(value.raw());
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(raw.size()), raw.data(), at);
}

size_t Descriptor::get(Attribute name, cudnnBackendAttributeType_t type, int64_t most, void* values,
                       Place at) const {
  int64_t count = 0;
  check(cudnnBackendGetAttribute(handle_.get(), name, type, most, &count, values), at);
  return static_cast<size_t>(std::min(most, count));
}

std::vector<Descriptor> Descriptor::get(Attribute name, cudnnBackendDescriptorType_t type,
                                        Place at) const {
  int64_t count = 0;
  check(cudnnBackendGetAttribute(handle_.get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count,
                                 nullptr),
        at);
  std::vector<Descriptor> values;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) raw.push_back(values.emplace_back(type, at).raw());
  // cuDNN fills the descriptors that are passed, possibly fewer than it announced.
  size_t const given = get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, raw.data(), at);
  values.erase(values.begin() + static_cast<std::ptrdiff_t>(given), values.end());
  return values;
}

Descriptor variant_pack(Ints const& names, std::vector<void*> const& addresses, void* workspace) {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, names)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  check(pack.finalise());
  return pack;
}

Gpu Gpu::described(std::string const& properties) {
  Gpu gpu;
  gpu.properties_.emplace(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)
      .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
           std::vector<char>(properties.begin(), properties.end()));
  check(gpu.properties_->finalise());
  return gpu;
}

void Gpu::tell_graph(Descriptor& graph) const {
  if (handle_) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle_);
}

void Gpu::tell_heuristics(Descriptor& heuristics) const {
  if (!handle_) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *properties_);
}

void Gpu::tell_plan(Descriptor& plan) const {
  if (handle_)
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *properties_);
}

}  // namespace core::cuda
