#include "train/data/augment.h"
#include <algorithm>
#include <cmath>
#include <numbers>

namespace train {
namespace {

constexpr double cut = 2.5;          // radius of the blur kernel in standard deviations
constexpr uint64_t noise_block = 8;  // first random block of the noise; the others are reserved

bool moves(AugmentConfig const& config) {
  return config.translate > 0 || config.rotation > 0 || config.scale > 0 || config.shear > 0 ||
         config.horizontal_flip;
}

/// Uniform in [-amount, amount).
float draw(core::Random& random, double amount) {
  return (2 * random.uniform() - 1) * static_cast<float>(amount);
}

/// pixels := clamp((pixels - 1/2) gain + 1/2 + lift + stddev * noise). The noise of a pixel is the
/// sum of the four bytes of a random number, scaled to mean 0 and variance 1. It approximates a
/// normal distribution truncated at 3.4 standard deviations, and is much cheaper.
void grade(float* pixels, int64_t count, float gain, float lift, float stddev,
           core::RandomKey const& key) {
  float const byte_variance = (256.0f * 256.0f - 1) / 12;
  float const scale = stddev / std::sqrt(4 * byte_variance);
  for (int64_t at = 0; at < count; at += 4) {
    auto const block = core::random_block(key, noise_block + static_cast<uint64_t>(at / 4));
    for (int64_t i = at; i < std::min(at + 4, count); ++i) {
      uint32_t const bits = block[static_cast<size_t>(i - at)];
      uint32_t const pairs = (bits & 0x00FF00FFu) + ((bits >> 8) & 0x00FF00FFu);
      float const noise = static_cast<float>((pairs & 0xFFFFu) + (pairs >> 16)) - 4 * 127.5f;
      float const value = (pixels[i] - 0.5f) * gain + (0.5f + lift) + scale * noise;
      pixels[i] = std::clamp(value, 0.0f, 1.0f);
    }
  }
}

/// Kernel weights at -radius .. radius; their sum is 1.
std::vector<float> gaussian(float stddev) {
  auto const radius = static_cast<int>(std::ceil(cut * stddev));
  std::vector<float> weights;
  float sum = 0;
  for (int i = -radius; i <= radius; ++i) {
    auto const x = static_cast<float>(i) / stddev;
    weights.push_back(std::exp(-0.5f * x * x));
    sum += weights.back();
  }
  for (float& weight : weights) weight /= sum;
  return weights;
}

/// to += factor * from
void add_scaled(float factor, float const* __restrict from, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

}  // namespace

Augmenter::Augmenter(AugmentConfig const& config, core::ImageShape const& shape)
    : config_(config), shape_(shape), taps_(static_cast<size_t>(shape.width)) {
  for (double const amount : {config.translate, config.rotation, config.scale, config.shear,
                              config.blur_sigma, config.noise_std, config.contrast})
    if (!(amount >= 0)) throw ConfigError("data.augment: all amounts must be at least 0");
  if (config.scale >= 1) throw ConfigError("data.augment: scale must be below 1");
}

void Augmenter::operator()(float* pixels, core::RandomKey const& key) {
  core::Random random(key);
  Affine const map = draw_map(random);
  float const stddev = random.uniform() * static_cast<float>(config_.blur_sigma);
  float const gain = 1 + draw(random, config_.contrast), lift = draw(random, config_.contrast);
  float const noise = random.uniform() * static_cast<float>(config_.noise_std);
  if (moves(config_)) warp(pixels, map);
  if (config_.blur_sigma > 0) blur(pixels, stddev);
  if (config_.contrast > 0 || config_.noise_std > 0)
    grade(pixels, shape_.count(), gain, lift, noise, key);
}

/// Inverse of the composition: scale and mirror, shear, rotate, shift.
Affine Augmenter::draw_map(core::Random& random) const {
  float const angle = draw(random, config_.rotation) * (std::numbers::pi_v<float> / 180);
  float scale_x = 1 + draw(random, config_.scale);
  float const scale_y = 1 + draw(random, config_.scale), shear = draw(random, config_.shear);
  float const shift_x = draw(random, config_.translate) * static_cast<float>(shape_.width);
  float const shift_y = draw(random, config_.translate) * static_cast<float>(shape_.height);
  if (random.uniform() < 0.5f && config_.horizontal_flip) scale_x = -scale_x;
  float const c = std::cos(angle), s = std::sin(angle);
  Affine map;
  map.xx = (c + shear * s) / scale_x;
  map.xy = (s - shear * c) / scale_x;
  map.yx = -s / scale_y;
  map.yy = c / scale_y;
  map.x0 = -(map.xx * shift_x + map.xy * shift_y);
  map.y0 = -(map.yx * shift_x + map.yy * shift_y);
  return map;
}

void Augmenter::warp(float* pixels, Affine const& map) {
  int64_t const height = shape_.height, width = shape_.width, channels = shape_.channels;
  // One row and column of zeros before, two after: taps outside the image are clamped into the
  // border, which avoids a branch per pixel.
  int64_t const row = width * channels, pitch = (width + 3) * channels;
  padded_.assign(static_cast<size_t>(pitch * (height + 3)), 0.0f);
  for (int64_t y = 0; y < height; ++y)
    std::copy_n(pixels + y * row, row, padded_.data() + (y + 1) * pitch + channels);

  float const center_x = 0.5f * static_cast<float>(width - 1);
  float const center_y = 0.5f * static_cast<float>(height - 1);
  auto const right = static_cast<float>(width + 1), bottom = static_cast<float>(height + 1);
  for (int64_t y = 0; y < height; ++y) {
    float const from_center = static_cast<float>(y) - center_y;
    float const x0 = map.xy * from_center + map.x0 + center_x + 1;  // + 1: width of the border
    float const y0 = map.yy * from_center + map.y0 + center_y + 1;
    for (int64_t x = 0; x < width; ++x) {
      float const at = static_cast<float>(x) - center_x;
      float const source_x = std::clamp(map.xx * at + x0, 0.0f, right);
      float const source_y = std::clamp(map.yx * at + y0, 0.0f, bottom);
      auto const left = static_cast<int32_t>(source_x), top = static_cast<int32_t>(source_y);
      taps_[static_cast<size_t>(x)] = {
          top * static_cast<int32_t>(pitch) + left * static_cast<int32_t>(channels),
          source_x - static_cast<float>(left), source_y - static_cast<float>(top)};
    }
    float const* const padded = padded_.data();
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t x = 0; x < width; ++x) {
        Tap const& tap = taps_[static_cast<size_t>(x)];
        float const* const upper = padded + tap.at + channel;
        float const* const lower = upper + pitch;
        float const above = upper[0] + tap.right * (upper[channels] - upper[0]);
        float const below = lower[0] + tap.right * (lower[channels] - lower[0]);
        pixels[y * row + x * channels + channel] = above + tap.down * (below - above);
      }
  }
}

void Augmenter::blur(float* pixels, float stddev) {
  if (stddev < 0.1f) return;  // the weight of a neighbor would be below 1e-21
  std::vector<float> const weights = gaussian(stddev);
  auto const taps = static_cast<int64_t>(weights.size()), radius = taps / 2;
  int64_t const height = shape_.height, channels = shape_.channels, row = shape_.width * channels;

  padded_.resize(static_cast<size_t>(row * height + 2 * radius * channels));
  float* const line = padded_.data();
  for (int64_t y = 0; y < height; ++y) {
    float* const out = pixels + y * row;
    std::copy_n(out, row, line + radius * channels);
    for (int64_t i = 0; i < radius * channels; ++i) {
      line[i] = out[i % channels];
      line[(radius * channels) + row + i] = out[row - channels + i % channels];
    }
    std::fill_n(out, row, 0.0f);
    for (int64_t tap = 0; tap < taps; ++tap)
      add_scaled(weights[static_cast<size_t>(tap)], line + tap * channels, out, row);
  }

  float* const whole = padded_.data();
  std::copy_n(pixels, row * height, whole);
  std::fill_n(pixels, row * height, 0.0f);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t tap = 0; tap < taps; ++tap) {
      int64_t const from = std::clamp(y + tap - radius, int64_t{0}, height - 1);
      add_scaled(weights[static_cast<size_t>(tap)], whole + from * row, pixels + y * row, row);
    }
}

}  // namespace train
