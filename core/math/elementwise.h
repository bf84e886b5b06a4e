#pragma once
#include "core/math/host_device.h"

/// Elementwise formulas for every floating type. bf16 is computed in f32 and rounded once.
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

template <class Acc>
struct Scale {
  Acc factor;
  template <class T>
  COLONNADE_HD T operator()(T x) const {
    return T(factor * x);
  }
};

/// y + alpha x
template <class Acc>
struct Axpy {
  Acc alpha;
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

/// max(x, 0); NaN stays NaN.
struct Relu {
  template <class T>
  COLONNADE_HD T operator()(T x) const {
    return x < 0 ? T(0) : x;
  }
};

/// Gradient of a ReLU whose result was y.
struct ReluBackward {
  template <class T>
  COLONNADE_HD T operator()(T y, T dy) const {
    return y > 0 ? dy : T(0);
  }
};

/// Factor by which PReLU multiplies x, and its backward pass dy.
template <class Acc>
COLONNADE_HD Acc prelu_slope(Acc x, Acc slope) {
  return x > 0 ? Acc(1) : slope;
}

/// Contribution of one element to the gradient with respect to PReLU's slope.
template <class Acc>
COLONNADE_HD Acc prelu_slope_gradient(Acc x, Acc dy) {
  return x > 0 ? Acc(0) : dy * x;
}

}  // namespace core::math
