#include "tests/support/fake_cuda/cudnn_descriptor.h"
#include <algorithm>
#include <atomic>
#include "tests/support/fake_cuda/fake_cuda.h"

namespace tests::fake_cuda::cudnn {

using core::join;

namespace {

enum class Use { required, optional, output };

struct Attribute {
  Descriptor::Name name;
  Descriptor::ValueType type;
  int64_t most = 1;  ///< largest number of values
  Use use = Use::required;
  std::vector<Descriptor::Type> links{};  ///< possible types of linked descriptors
};

constexpr auto link_type = CUDNN_TYPE_BACKEND_DESCRIPTOR;
constexpr auto tensor_type = CUDNN_BACKEND_TENSOR_DESCRIPTOR;
constexpr int64_t most_dimensions = 8;

/// Attributes of a convolution operation, whose tensors are linked.
std::vector<Attribute> operation(Descriptor::Name x, Descriptor::Name w, Descriptor::Name y,
                                 Descriptor::Name window, Descriptor::Name alpha,
                                 Descriptor::Name beta) {
  return {{x, link_type, 1, Use::required, {tensor_type}},
          {w, link_type, 1, Use::required, {tensor_type}},
          {y, link_type, 1, Use::required, {tensor_type}},
          {window, link_type, 1, Use::required, {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR}},
          {alpha, CUDNN_TYPE_FLOAT},
          {beta, CUDNN_TYPE_FLOAT}};
}

std::vector<Attribute> pointwise_operation() {
  return {{CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
           link_type,
           1,
           Use::required,
           {CUDNN_BACKEND_POINTWISE_DESCRIPTOR}},
          {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, link_type, 1, Use::required, {tensor_type}},
          {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, link_type, 1, Use::required, {tensor_type}},
          {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, link_type, 1, Use::required, {tensor_type}},
          {CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, 1, Use::optional},
          {CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1, Use::optional}};
}

std::vector<Attribute> convolution() {
  return {{CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE},
          {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE},
          {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64},
          {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, most_dimensions},
          {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, most_dimensions},
          {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, most_dimensions},
          {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, most_dimensions}};
}

std::vector<Attribute> tensor() {
  return {{CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64},
          {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE},
          {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64},
          {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, most_dimensions},
          {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, most_dimensions},
          {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, Use::optional}};
}

std::vector<Attribute> graph() {
  return {{CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE},
          {CUDNN_ATTR_OPERATIONGRAPH_OPS,
           link_type,
           50,
           Use::required,
           {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR}}};
}

std::vector<Attribute> heuristics() {
  return {{CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
           link_type,
           1,
           Use::required,
           {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR}},
          {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE},
          {CUDNN_ATTR_ENGINEHEUR_RESULTS, link_type, 0, Use::output}};
}

std::vector<Attribute> plan() {
  return {{CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE},
          {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
           link_type,
           1,
           Use::required,
           {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR}},
          {CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 0, Use::output}};
}

std::map<Descriptor::Type, std::vector<Attribute>> make_tables() {
  return {
      {CUDNN_BACKEND_TENSOR_DESCRIPTOR, tensor()},
      {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, convolution()},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
       operation(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA)},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
       operation(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA)},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
       operation(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA)},
      {CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
       {{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE}}},
      {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, pointwise_operation()},
      {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, graph()},
      {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, heuristics()},
      {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
       {{CUDNN_ATTR_ENGINECFG_ENGINE, link_type, 0, Use::output}}},
      {CUDNN_BACKEND_ENGINE_DESCRIPTOR,
       {{CUDNN_ATTR_ENGINE_OPERATION_GRAPH, link_type, 0, Use::output},
        {CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 0, Use::output},
        {CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, 0, Use::output}}},
      {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, plan()},
      {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
       {{CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 64},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 64},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR}}},
  };
}

std::vector<Attribute> const* table_of(Descriptor::Type type) {
  static std::map<Descriptor::Type, std::vector<Attribute>> const tables = make_tables();
  auto const found = tables.find(type);
  return found == tables.end() ? nullptr : &found->second;
}

std::string named(Descriptor::Type type, Descriptor::Name name) {
  return join("attribute ", static_cast<int>(name), " of a descriptor of type ",
              static_cast<int>(type));
}

/// Returns the attribute. Throws: Refused if the descriptor type has none of this name and type.
Attribute const& attribute_of(Descriptor::Type type, Descriptor::Name name,
                              Descriptor::ValueType value) {
  auto const& table = *table_of(type);
  auto const found =
      std::find_if(table.begin(), table.end(), [&](Attribute const& a) { return a.name == name; });
  require(found != table.end(), named(type, name) + " does not exist");
  require(found->type == value,
          join(named(type, name), " has the attribute type ", static_cast<int>(found->type),
               ", not ", static_cast<int>(value)),
          CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  return *found;
}

size_t size_of(Descriptor::ValueType type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
      return sizeof(int64_t);
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
      return sizeof(void*);
    case CUDNN_TYPE_BOOLEAN:
      return sizeof(bool);
    default:
      return sizeof(int32_t);  // float and the enumerations
  }
}

std::atomic<uint64_t> descriptors{0};

}  // namespace

void refuse(cudnnStatus_t status, std::string const& why) {
  misuse("cuDNN: " + why);
  throw Refused{status, why};
}

Handle& handle_of(cudnnBackendDescriptor_t descriptor) {
  require(descriptor != nullptr, "a descriptor is a null pointer",
          CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  return *static_cast<Handle*>(descriptor);
}

Descriptor::Descriptor(Type type) : type_(type), serial_(++descriptors) {
  support(table_of(type) != nullptr, join("descriptor type ", static_cast<int>(type)));
}

void Descriptor::set(Name name, ValueType type, int64_t count, void const* data) {
  require(!final_, named(type_, name) + " is set after the descriptor was finalized");
  Attribute const& attribute = attribute_of(type_, name, type);
  require(attribute.use != Use::output, named(type_, name) + " cannot be set");
  require(data != nullptr, named(type_, name) + ": no values", CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  require(count >= 1 && count <= attribute.most,
          join(named(type_, name), " has 1 to ", attribute.most, " values, not ", count));
  if (type != link_type) return store(name, type, count, data);
  Links links;
  for (int64_t i = 0; i < count; ++i) {
    Handle const& linked = handle_of(static_cast<cudnnBackendDescriptor_t const*>(data)[i]);
    auto const& types = attribute.links;
    require(std::find(types.begin(), types.end(), linked->type()) != types.end(),
            join(named(type_, name), " is a descriptor of type ", static_cast<int>(linked->type())),
            CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
    require(linked->final(), named(type_, name) + " is a descriptor that is not finalized",
            CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
    links.push_back(linked);
  }
  put(name, std::move(links));
}

void Descriptor::get(Name name, ValueType type, int64_t most, int64_t* count, void* data) const {
  require(final_, named(type_, name) + " is read before the descriptor was finalized",
          CUDNN_STATUS_NOT_INITIALIZED);
  attribute_of(type_, name, type);
  require(has(name), named(type_, name) + " was not set");
  Value const& value = values_.at(name);
  // The heuristic announces more results than it has: programs must read the count again.
  int64_t const announced = name == CUDNN_ATTR_ENGINEHEUR_RESULTS && most == 0 ? 1 : 0;
  if (count) *count = value.count + announced;
  int64_t const given = std::min(most, value.count);
  if (given == 0) return;
  require(data != nullptr, named(type_, name) + ": no place for the values",
          CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  if (type == link_type)
    fill(value.links, given, data);
  else
    std::memcpy(data, value.bytes.data(), static_cast<size_t>(given) * size_of(type));
}

void Descriptor::fill(Links const& links, int64_t most, void* data) const {
  for (int64_t i = 0; i < most; ++i) {
    Handle& target = handle_of(static_cast<cudnnBackendDescriptor_t const*>(data)[i]);
    Descriptor const& source = *links[static_cast<size_t>(i)];
    require(target->type() == source.type(),
            join("a descriptor of type ", static_cast<int>(target->type()),
                 " receives one of type ", static_cast<int>(source.type())),
            CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
    require(!target->final(), "a descriptor that is to be filled is finalized");
    *target = source;
  }
}

void Descriptor::complete() {
  require(!final_, join("a descriptor of type ", static_cast<int>(type_), " is finalized again"));
  for (Attribute const& attribute : *table_of(type_))
    require(attribute.use != Use::required || has(attribute.name),
            named(type_, attribute.name) + " is missing");
}

Descriptor::Links const& Descriptor::links(Name name) const { return values_.at(name).links; }

void Descriptor::put(Name name, Links links) {
  auto const count = static_cast<int64_t>(links.size());
  values_[name] = {link_type, count, {}, std::move(links)};
}

void Descriptor::store(Name name, ValueType type, int64_t count, void const* data) {
  auto const* const bytes = static_cast<std::byte const*>(data);
  values_[name] = {type, count, {bytes, bytes + static_cast<size_t>(count) * size_of(type)}, {}};
}

}  // namespace tests::fake_cuda::cudnn
