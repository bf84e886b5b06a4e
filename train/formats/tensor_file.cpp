#include "train/formats/tensor_file.h"
#include <algorithm>
#include "core/device.h"
#include "train/errors.h"

namespace train {
namespace {

using core::Tensor;

constexpr int64_t piece_bytes = int64_t{64} << 20;

/// Calls f(view) for consecutive pieces of a tensor.
template <class F>
void each_piece(Tensor const& tensor, F const& f) {
  auto const flat = tensor.reshape({tensor.count()});
  auto const most = piece_bytes / static_cast<int64_t>(core::size_of(tensor.dtype()));
  for (int64_t begin = 0; begin < flat.count(); begin += most)
    f(flat.rows(begin, std::min(begin + most, flat.count())));
}

}  // namespace

Digest write_tensors(std::string path, std::vector<NamedTensor> const& tensors) {
  std::vector<TensorDeclaration> declarations;
  declarations.reserve(tensors.size());
  for (auto const& [name, tensor] : tensors)
    declarations.push_back({name, tensor.dtype(), tensor.shape()});
  SafetensorsWriter writer(std::move(path), declarations);
  std::vector<std::byte> host;
  for (auto const& [name, tensor] : tensors) {
    each_piece(tensor, [&](Tensor const& piece) {
      host.resize(std::max(host.size(), piece.bytes()));
      piece.device().download(piece, host.data());
      writer.append(host.data(), piece.bytes());
    });
  }
  return writer.finish();
}

void check_fit(SafetensorsReader const& file, std::vector<NamedTensor> const& tensors,
               Others others) {
  std::string differences;
  auto unknown = file.entries();
  if (others == Others::ignored) unknown.clear();
  for (auto const& [name, tensor] : tensors) {
    unknown.erase(name);
    if (!file.contains(name)) {
      differences += core::join("; '", name, "' is missing");
    } else if (auto const& entry = file.entry(name);
               entry.dtype != tensor.dtype() || entry.shape != tensor.shape()) {
      differences += core::join("; '", name, "' is ", entry.dtype, ' ', entry.shape, ", expected ",
                                tensor.dtype(), ' ', tensor.shape());
    }
  }
  for (auto const& [name, entry] : unknown)
    differences += core::join("; '", name, "' is unexpected");
  if (differences.empty()) return;
  throw ConfigError(core::join(file.path(), " does not fit the model: ", differences.substr(2)));
}

void read_tensors(SafetensorsReader const& file, std::vector<NamedTensor>& tensors) {
  std::vector<std::byte> host;
  for (NamedTensor& named : tensors) {
    uint64_t at = 0;
    each_piece(named.tensor, [&](Tensor piece) {
      host.resize(std::max(host.size(), piece.bytes()));
      file.read(named.name, host.data(), piece.bytes(), at);
      piece.device().upload(host.data(), piece);
      at += piece.bytes();
    });
  }
}

int64_t rows_at_once(int64_t columns) {
  return std::max<int64_t>(1, (int64_t{64} << 20) / 4 / columns);
}

std::vector<float> read_floats(SafetensorsReader const& file, std::string const& name,
                               int64_t first, int64_t count) {
  return core::visit_floating(file.entry(name).dtype, [&]<class T>() {
    std::vector<T> raw(static_cast<size_t>(count));
    file.read(name, raw.data(), raw.size() * sizeof(T), static_cast<size_t>(first) * sizeof(T));
    std::vector<float> values(raw.size());
    std::ranges::transform(raw, values.begin(), [](T value) { return static_cast<float>(value); });
    return values;
  });
}

}  // namespace train
