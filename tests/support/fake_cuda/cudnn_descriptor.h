#pragma once
#include <cstring>
#include <cudnn.h>
#include <map>
#include <memory>
#include <string>
#include <vector>
#include "core/check.h"

/// Descriptors of cuDNN's backend API. A descriptor has the attributes that the documentation lists
/// for its type.
namespace tests::fake_cuda::cudnn {

/// Thrown by a call that is refused.
struct Refused {
  cudnnStatus_t status;
  std::string why;
};

/// Refuses a call whose arguments are wrong, and reports it as misuse.
[[noreturn]] void refuse(cudnnStatus_t status, std::string const& why);

inline void require(bool holds, std::string const& why,
                    cudnnStatus_t status = CUDNN_STATUS_BAD_PARAM) {
  if (!holds) refuse(status, why);
}

/// Refuses what is valid, but what no engine computes.
inline void support(bool holds, std::string const& why,
                    cudnnStatus_t status = CUDNN_STATUS_NOT_SUPPORTED) {
  if (!holds) throw Refused{status, why};
}

class Descriptor {
 public:
  using Name = cudnnBackendAttributeName_t;
  using Type = cudnnBackendDescriptorType_t;
  using ValueType = cudnnBackendAttributeType_t;
  using Links = std::vector<std::shared_ptr<Descriptor const>>;

  /// Throws: Refused for a type without a table of attributes.
  explicit Descriptor(Type type);

  Type type() const { return type_; }
  bool final() const { return final_; }
  /// Number of the descriptor in the order of creation.
  uint64_t serial() const { return serial_; }

  /// Sets an attribute. Linked descriptors are copied by reference and cannot change any longer.
  /// Throws: Refused if the descriptor is final, or the attribute, type or count is wrong.
  void set(Name name, ValueType type, int64_t count, void const* data);

  /// Stores the number of values in `count`, and up to `most` of them in `data`. Descriptors in
  /// `data` are filled and become final.
  /// Throws: Refused if the descriptor is not final, or the attribute or type is wrong.
  void get(Name name, ValueType type, int64_t most, int64_t* count, void* data) const;

  /// Throws: Refused if a required attribute is missing, or the descriptor is final.
  void complete();
  void finalize() { final_ = true; }

  bool has(Name name) const { return values_.contains(name); }
  Links const& links(Name name) const;
  Descriptor const& link(Name name) const { return *links(name).front(); }
  template <class T>
  std::vector<T> values(Name name) const {
    std::vector<T> values(static_cast<size_t>(values_.at(name).count));
    std::memcpy(values.data(), values_.at(name).bytes.data(), values.size() * sizeof(T));
    return values;
  }
  template <class T>
  T value(Name name) const {
    T value;
    std::memcpy(&value, values_.at(name).bytes.data(), sizeof value);
    return value;
  }
  template <class T>
  T value_or(Name name, T otherwise) const {
    return has(name) ? value<T>(name) : otherwise;
  }

  /// Stores values that the library computes.
  template <class T>
  void put(Name name, ValueType type, std::vector<T> const& values) {
    store(name, type, static_cast<int64_t>(values.size()), values.data());
  }
  void put(Name name, Links links);

 private:
  struct Value {
    ValueType type;
    int64_t count;
    std::vector<std::byte> bytes;  ///< empty for links
    Links links;
  };

  void store(Name name, ValueType type, int64_t count, void const* data);
  void fill(Links const& links, int64_t most, void* data) const;

  Type type_;
  uint64_t serial_;
  bool final_ = false;
  std::map<Name, Value> values_;
};

/// What a cudnnBackendDescriptor_t points to.
using Handle = std::shared_ptr<Descriptor>;

/// Throws: Refused for a null pointer.
Handle& handle_of(cudnnBackendDescriptor_t descriptor);

}  // namespace tests::fake_cuda::cudnn
