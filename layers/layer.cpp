#include "layers/layer.h"
#include "core/device.h"

namespace layers {
namespace {

/// FNV-1a, 56 bits: derives a random stream from a name.
uint64_t hash(std::string const& name) {
  uint64_t h = 0xCBF29CE484222325u;
  for (unsigned char const c : name) h = (h ^ c) * 0x100000001B3u;
  return h >> 8;
}

core::Parameter allocate(Context const& context, std::string name, core::Role role,
                         core::Shape shape) {
  core::Parameter p;
  p.name = std::move(name);
  p.role = role;
  p.value = core::Tensor(context.device, std::move(shape), core::accumulator(context.dtype));
  bool const copy = role == core::Role::weight && context.dtype == core::Dtype::bf16;
  p.compute = copy ? core::Tensor(context.device, p.value.shape(), context.dtype) : p.value;
  return p;
}

core::RandomKey key(Context const& context, std::string const& name) {
  return {context.seed, core::Purpose::weights, hash(name)};
}

}  // namespace

std::vector<core::Parameter*> parameters(Layer& layer) {
  std::vector<core::Parameter*> all;
  layer.visit_parameters([&](core::Parameter& p) { all.push_back(&p); });
  return all;
}

core::Parameter constant(Context const& context, std::string name, core::Role role,
                         core::Shape shape, double value) {
  auto p = allocate(context, std::move(name), role, std::move(shape));
  context.device.kernels().fill(value, p.value);
  refresh(p);
  return p;
}

core::Parameter normal(Context const& context, std::string name, core::Role role, core::Shape shape,
                       double stddev) {
  auto p = allocate(context, std::move(name), role, std::move(shape));
  context.device.kernels().random_normal(key(context, p.name), 0, 0, stddev, p.value);
  refresh(p);
  return p;
}

core::Parameter uniform(Context const& context, std::string name, core::Role role,
                        core::Shape shape, double bound) {
  auto p = allocate(context, std::move(name), role, std::move(shape));
  context.device.kernels().random_uniform(key(context, p.name), 0, -bound, bound, p.value);
  refresh(p);
  return p;
}

core::Tensor filled(core::Device& device, core::Shape const& shape, core::Dtype dtype,
                    double value) {
  core::Tensor t(device, shape, dtype);
  device.kernels().fill(value, t);
  return t;
}

void refresh(core::Parameter& p) {
  if (p.compute.dtype() != p.value.dtype()) p.value.device().kernels().convert(p.value, p.compute);
}

}  // namespace layers
