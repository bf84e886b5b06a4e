#pragma once
#include "core/math/host_device.h"

/// Elementwise formulas, for every floating type: bf16 is computed in f32 and rounded once.
namespace core::math {

template <class T>
struct Constant {
  T value;
  COLONNADE_HD T operator()() const { return value; }
};

template <class To>
struct Convert {
  template <class T>
  COLONNADE_HD To operator()(T x) const {
    return static_cast<To>(x);
  }
};

template <class W>
struct Scale {
  W factor;
  template <class T>
  COLONNADE_HD T operator()(T x) const {
    return T(factor * x);
  }
};

/// y + alpha x
template <class W>
struct Axpy {
  W alpha;
  template <class X, class Y>
  COLONNADE_HD Y operator()(X x, Y y) const {
    return Y(y + alpha * x);
  }
};

struct Add {
  template <class T>
  COLONNADE_HD T operator()(T x, T y) const {
    return T(x + y);
  }
};

/// NaN stays NaN.
struct Relu {
  template <class T>
  COLONNADE_HD T operator()(T x) const {
    return x < 0 ? T(0) : x;
  }
};

/// The gradient that passes a ReLU whose result was y.
struct ReluBackward {
  template <class T>
  COLONNADE_HD T operator()(T y, T dy) const {
    return y > 0 ? dy : T(0);
  }
};

/// PReLU's factor of x, and of dy in the gradient.
template <class W>
COLONNADE_HD W prelu_slope(W x, W slope) {
  return x > 0 ? W(1) : slope;
}

/// An element's part of the gradient in PReLU's slope.
template <class W>
COLONNADE_HD W prelu_slope_gradient(W x, W dy) {
  return x > 0 ? W(0) : dy * x;
}

}  // namespace core::math
