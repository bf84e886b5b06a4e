#include "core/cpu/onednn.h"
#include <bit>
#include <string_view>

namespace core::cpu {

namespace {

using dnnl::memory;
using Desc = memory::desc;
using Tag = memory::format_tag;

// More plans than a training run needs; callers whose shapes or factors never repeat reach the
// limit.
constexpr size_t most_plans = 1024;

enum class Kind { forward, backward_input, backward_weights, product };

memory::data_type type_of(Dtype dtype) {
  check(dtype == Dtype::f32 || dtype == Dtype::bf16, "oneDNN supports f32 and bf16, not ", dtype);
  return dtype == Dtype::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

/// Returns oneDNN's first correct implementation. Its strided 1x1 kernels copy whole blocks of 16
/// channels: with other numbers of channels they write out of bounds (2.6.3; found as heap
/// corruption with more than one thread).
template <class Descriptor>
Descriptor sound(Descriptor found, int64_t channels, memory::dims const& stride) {
  bool const whole_blocks = channels % 16 == 0 || (stride[0] == 1 && stride[1] == 1);
  while (!whole_blocks &&
         std::string_view(found.impl_info_str()).find("_1x1") != std::string_view::npos)
    check(found.next_impl(),
          "oneDNN has no correct implementation of a strided 1x1 convolution of ", channels,
          " channels");
  return found;
}

/// Primitive descriptors of a convolution's forward and two backward passes; oneDNN chooses the
/// layout of the weights. oneDNN names the sizes of an image N, C, H, W whatever the layout, and
/// counts dilation from 0.
class Convolution {
 public:
  /// w: the weights, or their gradient.
  Convolution(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
              int64_t groups, Tensor const& y)
      : x(image(x)),
        w(weights(w, w.dtype(), groups, groups == 1 ? Tag::ohwi : Tag::gohwi)),
        y(image(y)),
        any_(weights(w, x.dtype(), groups, Tag::any)),
        any_gradient_(weights(w, Dtype::f32, groups, Tag::any)),
        stride_(strides(window, x, y)),
        dilation_{window.dilation.h - 1, window.dilation.w - 1},
        padding_{window.padding.h, window.padding.w},
        channels_(w.size(3)) {
    if (bias) this->bias = Desc({bias.count()}, type_of(bias.dtype()), Tag::a);
  }

  dnnl::convolution_forward::primitive_desc forward(dnnl::engine const& engine) const {
    return sound<dnnl::convolution_forward::primitive_desc>(
        {{dnnl::prop_kind::forward_training, direct, x, any_, bias, y, stride_, dilation_, padding_,
          padding_},
         engine},
        channels_, stride_);
  }
  dnnl::convolution_backward_data::primitive_desc backward_input(dnnl::engine const& engine) const {
    return sound<dnnl::convolution_backward_data::primitive_desc>(
        {{direct, x, any_, y, stride_, dilation_, padding_, padding_}, engine, forward(engine)},
        channels_, stride_);
  }
  dnnl::convolution_backward_weights::primitive_desc backward_weights(
      dnnl::engine const& engine) const {
    return sound<dnnl::convolution_backward_weights::primitive_desc>(
        {{direct, x, any_gradient_, y, stride_, dilation_, padding_, padding_},
         engine,
         forward(engine)},
        channels_, stride_);
  }

  Desc x, w, y, bias;

 private:
  static constexpr auto direct = dnnl::algorithm::convolution_direct;

  /// Returns the strides, with 1 for an axis where stride 1 visits the same positions: oneDNN 2.6
  /// writes garbage in bf16 gradients of weights 3 wide if the image is one pixel wide and the
  /// stride is 2.
  static memory::dims strides(Window const& window, Tensor const& x, Tensor const& y) {
    Window dense = window;
    dense.stride = {1, 1};
    bool const same_h = dense.out_height(x.size(1)) == y.size(1);
    bool const same_w = dense.out_width(x.size(2)) == y.size(2);
    return {same_h ? 1 : window.stride.h, same_w ? 1 : window.stride.w};
  }

  static Desc image(Tensor const& t) {
    return {{t.size(0), t.size(3), t.size(1), t.size(2)}, type_of(t.dtype()), Tag::nhwc};
  }
  static Desc weights(Tensor const& w, Dtype dtype, int64_t groups, Tag tag) {
    if (groups == 1) return {{w.size(0), w.size(3), w.size(1), w.size(2)}, type_of(dtype), tag};
    return {{groups, w.size(0) / groups, w.size(3), w.size(1), w.size(2)}, type_of(dtype), tag};
  }

  Desc any_, any_gradient_;
  memory::dims stride_, dilation_, padding_;
  int64_t channels_;  ///< input channels per group
};

std::vector<int64_t> convolution_key(Kind kind, Tensor const& x, Tensor const& w,
                                     Tensor const& bias, Window const& window, int64_t groups) {
  std::vector<int64_t> key{static_cast<int64_t>(kind),
                           static_cast<int64_t>(x.dtype()),
                           bias ? 1 : 0,
                           groups,
                           window.stride.h,
                           window.stride.w,
                           window.padding.h,
                           window.padding.w,
                           window.dilation.h,
                           window.dilation.w};
  key.insert(key.end(), x.shape().begin(), x.shape().end());
  key.insert(key.end(), w.shape().begin(), w.shape().end());
  return key;
}

dnnl::reorder reorder(dnnl::engine const& engine, Desc const& from, Desc const& to) {
  if (from == to) return {};
  return dnnl::reorder({engine, from, engine, to});
}

/// Layout of op(t) for oneDNN; a transpose is expressed by strides.
Desc matrix(Columns const& t, Transpose transpose = Transpose::no) {
  if (transpose == Transpose::no)
    return {{t.rows(), t.count}, type_of(t.dtype()), memory::dims{t.pitch(), 1}};
  return {{t.count, t.rows()}, type_of(t.dtype()), memory::dims{1, t.pitch()}};
}

dnnl::matmul::primitive_desc product(dnnl::engine const& engine, Desc const& a, Desc const& b,
                                     float alpha, float beta, Desc const& c) {
  dnnl::primitive_attr options;
  if (alpha != 1) options.set_output_scales(0, {alpha});
  if (beta != 0) {
    dnnl::post_ops after;
    after.append_sum(beta);
    options.set_post_ops(after);
  }
  return {{a, b, c}, options, engine};
}

/// The columns as a matrix of their own.
Tensor dense(Columns const& t) {
  if (t.dense()) return t.matrix;
  Tensor copy(t.device(), {t.rows(), t.count}, t.dtype());
  t.device().kernels().copy_columns(t.matrix, t.begin, t.count, copy, 0);
  return copy;
}

/// A copy in f32.
Tensor widened(Tensor const& t) {
  Tensor wide(t.device(), t.shape(), Dtype::f32);
  t.device().kernels().convert(t, wide);
  return wide;
}

/// Calls f(result) with an f32 tensor in place of `t`, and rounds it to `t` if that is bf16.
template <class F>
void narrow_after(Tensor& t, F const& f) {
  if (t.dtype() == Dtype::f32) return f(t);
  Tensor wide(t.device(), t.shape(), Dtype::f32);
  f(wide);
  t.device().kernels().convert(wide, t);
}

}  // namespace

bool onednn_has_bf16() {
  auto const isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  auto const needed = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  return (isa & needed) == needed;
}

size_t OneDnn::Hash::operator()(Key const& key) const {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a, one number at a time
  for (int64_t const number : key) hash = (hash ^ static_cast<uint64_t>(number)) * 0x100000001B3u;
  return hash ^ (hash >> 32);
}

template <class Make>
OneDnn::Plan const& OneDnn::plan(Key const& key, Make make) {
  if (auto const found = plans_.find(key); found != plans_.end()) return found->second;
  if (plans_.size() == most_plans) plans_.clear();
  try {
    return plans_.emplace(key, make()).first->second;
  } catch (dnnl::error const& error) {
    fail("oneDNN does not support this operation on this processor: ", error.what());
  }
}

memory OneDnn::view(Desc const& desc, Tensor const& t) const { return view(desc, t.raw()); }

memory OneDnn::view(Desc const& desc, std::byte const* data) const {
  return {desc, engine_, const_cast<std::byte*>(data)};
}

memory OneDnn::room(Desc const& desc) {
  auto const bytes = static_cast<int64_t>(desc.get_size());
  if (!room_ || static_cast<int64_t>(room_.get_desc().get_size()) < bytes)
    room_ = memory({{bytes}, memory::data_type::u8, Tag::a}, engine_);
  return {desc, engine_, room_.get_data_handle()};
}

memory OneDnn::packed(Plan const& plan, Tensor const& w) {
  memory plain = view(plan.w, w);
  if (!plan.repack) return plain;
  memory packed = room(plan.packed);
  plan.repack.execute(stream_, plain, packed);
  return packed;
}

void OneDnn::conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                    int64_t groups, Tensor& y) {
  if (emulated(x.dtype()))
    return narrow_after(
        y, [&](Tensor& out) { conv2d(widened(x), widened(w), bias, window, groups, out); });
  auto const& plan = this->plan(convolution_key(Kind::forward, x, w, bias, window, groups), [&] {
    Convolution const c(x, w, bias, window, groups, y);
    auto const best = c.forward(engine_);
    auto const packed = best.weights_desc();
    return Plan{dnnl::convolution_forward(best), c.x, c.w, c.y, c.bias, packed,
                reorder(engine_, c.w, packed)};
  });
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, view(plan.x, x)},
                                            {DNNL_ARG_WEIGHTS, packed(plan, w)},
                                            {DNNL_ARG_DST, view(plan.y, y)}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, view(plan.bias, bias));
  plan.run.execute(stream_, arguments);
}

void OneDnn::conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                                   int64_t groups, Store store, Tensor& dx) {
  if (store == Store::add) {
    Tensor mine = empty_like(dx);
    conv2d_backward_input(dy, w, window, groups, Store::replace, mine);
    return dx.device().kernels().accumulate(1, mine, dx);
  }
  if (emulated(dy.dtype()))
    return narrow_after(dx, [&](Tensor& out) {
      conv2d_backward_input(widened(dy), widened(w), window, groups, store, out);
    });
  auto const& plan =
      this->plan(convolution_key(Kind::backward_input, dx, w, {}, window, groups), [&] {
        Convolution const c(dx, w, {}, window, groups, dy);
        auto const best = c.backward_input(engine_);
        auto const packed = best.weights_desc();
        return Plan{dnnl::convolution_backward_data(best), c.x, c.w, c.y, {}, packed,
                    reorder(engine_, c.w, packed)};
      });
  plan.run.execute(stream_, {{DNNL_ARG_DIFF_DST, view(plan.y, dy)},
                             {DNNL_ARG_WEIGHTS, packed(plan, w)},
                             {DNNL_ARG_DIFF_SRC, view(plan.x, dx)}});
}

void OneDnn::conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                     int64_t groups, Tensor& dw) {
  if (emulated(x.dtype()))
    return conv2d_backward_weights(widened(x), widened(dy), window, groups, dw);
  auto const& plan =
      this->plan(convolution_key(Kind::backward_weights, x, dw, {}, window, groups), [&] {
        Convolution const c(x, dw, {}, window, groups, dy);
        auto const best = c.backward_weights(engine_);
        auto const packed = best.diff_weights_desc();
        return Plan{dnnl::convolution_backward_weights(best),
                    c.x,
                    c.w,
                    c.y,
                    {},
                    packed,
                    reorder(engine_, packed, c.w)};
      });
  memory worked_on = plan.repack ? room(plan.packed) : view(plan.w, dw), plain = view(plan.w, dw);
  plan.run.execute(stream_, {{DNNL_ARG_SRC, view(plan.x, x)},
                             {DNNL_ARG_DIFF_DST, view(plan.y, dy)},
                             {DNNL_ARG_DIFF_WEIGHTS, worked_on}});
  if (plan.repack) plan.repack.execute(stream_, worked_on, plain);
}

void OneDnn::matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                    double beta, Tensor& c) {
  if (emulated(a.dtype()))
    return narrow_after(c, [&](Tensor& out) {
      if (beta != 0 && out.raw() != c.raw()) out.device().kernels().convert(c, out);
      matmul(widened(dense(a)), ta, widened(b), tb, alpha, beta, out);
    });
  auto const scale = static_cast<float>(alpha), keep = static_cast<float>(beta);
  Key const key{static_cast<int64_t>(Kind::product),
                static_cast<int64_t>(a.dtype()),
                static_cast<int64_t>(c.dtype()),
                static_cast<int64_t>(ta),
                static_cast<int64_t>(tb),
                a.rows(),
                a.count,
                a.pitch(),
                c.size(1),
                std::bit_cast<int32_t>(scale),
                std::bit_cast<int32_t>(keep)};
  auto const& plan = this->plan(key, [&] {
    Desc const left = matrix(a, ta), right = matrix(b, tb), out = matrix(c);
    return Plan{dnnl::matmul(product(engine_, left, right, scale, keep, out)), left, right, out};
  });
  plan.run.execute(stream_, {{DNNL_ARG_SRC, view(plan.x, a.raw())},
                             {DNNL_ARG_WEIGHTS, view(plan.w, b)},
                             {DNNL_ARG_DST, view(plan.y, c)}});
}

}  // namespace core::cpu
