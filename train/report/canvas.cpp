#include "train/report/canvas.h"
#include <algorithm>
#include <cmath>
#include <png.h>
#include "train/formats/file.h"

namespace train {
namespace {

static_assert(sizeof(Colour) == 3);  // PNG_FORMAT_RGB

uint8_t to_byte(float value) {
  return static_cast<uint8_t>(std::lround(255.0f * std::clamp(value, 0.0f, 1.0f)));
}

}  // namespace

Canvas::Canvas(int64_t width, int64_t height, Colour background)
    : width_(width), height_(height), pixels_(static_cast<size_t>(width * height), background) {}

void Canvas::fill(Box const& box, Colour colour) {
  int64_t const left = std::clamp<int64_t>(box.x, 0, width_);
  int64_t const right = std::clamp<int64_t>(box.x + box.width, left, width_);
  int64_t const bottom = std::min(box.y + box.height, height_);
  for (int64_t y = std::max<int64_t>(box.y, 0); y < bottom; ++y)
    std::fill_n(pixels_.begin() + y * width_ + left, right - left, colour);
}

void Canvas::frame(Box const& box, int64_t thickness, Colour colour) {
  int64_t const left = box.x - thickness, width = box.width + 2 * thickness;
  fill({left, box.y - thickness, width, thickness}, colour);
  fill({left, box.y + box.height, width, thickness}, colour);
  fill({left, box.y, thickness, box.height}, colour);
  fill({box.x + box.width, box.y, thickness, box.height}, colour);
}

void Canvas::image(float const* pixels, core::ImageShape const& shape, int64_t x, int64_t y,
                   int64_t scale) {
  int64_t const green = shape.channels == 3 ? 1 : 0, blue = 2 * green;
  for (int64_t row = 0; row < shape.height; ++row) {
    for (int64_t column = 0; column < shape.width; ++column) {
      float const* const pixel = pixels + (row * shape.width + column) * shape.channels;
      fill({x + column * scale, y + row * scale, scale, scale},
           {to_byte(pixel[0]), to_byte(pixel[green]), to_byte(pixel[blue])});
    }
  }
}

void Canvas::blend(int64_t x, int64_t y, Colour colour, uint8_t share) {
  if (x < 0 || y < 0 || x >= width_ || y >= height_) return;
  auto const mix = [share](uint8_t under, uint8_t over) {
    return static_cast<uint8_t>((under * (255 - share) + over * share + 127) / 255);
  };
  Colour& under = pixels_[static_cast<size_t>(y * width_ + x)];
  under = {mix(under.red, colour.red), mix(under.green, colour.green),
           mix(under.blue, colour.blue)};
}

void Canvas::save_png(std::filesystem::path const& path) const {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.format = PNG_FORMAT_RGB;
  image.width = static_cast<png_uint_32>(width_);
  image.height = static_cast<png_uint_32>(height_);
  // Encoded in memory first, so that a disk error is reported with the message of the system.
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<char> encoded(bytes);
  bool const done =
      png_image_write_to_memory(&image, encoded.data(), &bytes, 0, pixels_.data(), 0, nullptr) != 0;
  core::check(done, "PNG of ", path, ": ", static_cast<char const*>(image.message));
  File file = File::create(path);
  file.write(encoded.data(), bytes);
  file.close();
}

}  // namespace train
