#pragma once
#include "core/ops.h"

namespace layers {

/// What every layer of a model is built with.
struct Context {
  core::Device& device;
  core::Dtype dtype = core::Dtype::f32;  ///< of activations and compute copies: f32, bf16 or f64
  uint64_t seed = 1;
  core::BatchNorm::Gather gather = {};  ///< joins the ranks' batch statistics; empty: local
};

/// A piece of a network with parameters of its own.
class Layer {
 public:
  using Visit = std::function<void(core::Parameter&)>;

  Layer() = default;
  virtual ~Layer() = default;
  Layer(Layer const&) = delete;  // parameters are registered by address
  Layer& operator=(Layer const&) = delete;

  virtual core::Var forward(core::Tape&, core::Var const& x) = 0;
  /// Calls `visit` for every parameter, running statistics included, in forward order.
  virtual void visit_parameters(Visit const& visit) = 0;
};

/// The parameters of a layer, in forward order.
std::vector<core::Parameter*> parameters(Layer& layer);

/// A parameter full of `value`; weights get a compute copy when the context's dtype is bf16.
core::Parameter constant(Context const&, std::string name, core::Role, core::Shape, double value);

/// Normal with mean 0; the numbers depend on the seed and the name alone.
core::Parameter normal(Context const&, std::string name, core::Role, core::Shape, double stddev);

/// Uniform in [-bound, bound).
core::Parameter uniform(Context const&, std::string name, core::Role, core::Shape, double bound);

/// A tensor full of `value`.
core::Tensor filled(core::Device& device, core::Shape const& shape, core::Dtype dtype,
                    double value);

/// Brings the compute copy up to date after `value` was written by hand.
void refresh(core::Parameter&);

}  // namespace layers
