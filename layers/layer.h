#pragma once
#include "core/ops.h"

namespace layers {

/// Construction context shared by all layers of a model.
struct Context {
  core::Device& device;
  core::Dtype dtype = core::Dtype::f32;  ///< activations and compute copies: f32, bf16 or f64
  uint64_t seed = 1;
  core::BatchNorm::Gather gather = {};  ///< synchronous batch norm over the ranks; empty: local
};

/// A part of a network that owns its parameters, like torch.nn.Module. Not copyable: parameters are
/// registered by address.
class Layer {
 public:
  using Visit = std::function<void(core::Parameter&)>;

  Layer() = default;
  virtual ~Layer() = default;
  Layer(Layer const&) = delete;
  Layer& operator=(Layer const&) = delete;

  /// Records the layer's operations on the tape and returns its output.
  virtual core::Var forward(core::Tape&, core::Var const& x) = 0;
  /// Calls `visit` for every parameter, including running statistics, in forward order.
  virtual void visit_parameters(Visit const& visit) = 0;
};

/// Returns all parameters of a layer, including running statistics, in forward order.
std::vector<core::Parameter*> parameters(Layer& layer);

/// A parameter filled with `value`. Weights get a bf16 compute copy if the context's dtype is bf16.
core::Parameter constant(Context const&, std::string name, core::Role, core::Shape, double value);

/// A parameter drawn from a normal distribution with mean 0. The values depend only on the seed and
/// the name.
core::Parameter normal(Context const&, std::string name, core::Role, core::Shape, double stddev);

/// A parameter drawn from a uniform distribution over [-bound, bound). The values depend only on
/// the seed and the name.
core::Parameter uniform(Context const&, std::string name, core::Role, core::Shape, double bound);

/// A tensor filled with `value`.
core::Tensor filled(core::Device& device, core::Shape const& shape, core::Dtype dtype,
                    double value);

/// Updates the compute copy after `value` was written directly.
void refresh(core::Parameter&);

}  // namespace layers
