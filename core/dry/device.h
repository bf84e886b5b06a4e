#pragma once
#include <compare>
#include <map>
#include <string>
#include "core/device.h"

namespace core::dry {

/// What one kernel does: floating-point operations of a product or a convolution, and bytes that go
/// to memory and come from it.
struct Work {
  double flops = 0, bytes = 0;
  auto operator<=>(Work const&) const = default;
};

/// What a device answers those who choose by it.
struct Traits {
  std::string name;
  int64_t cache_bytes;
  bool fast_bf16;
  int64_t capacity = 0;  ///< 0: not known
};

/// Bytes by the part of a program that they are for.
using Parts = std::map<std::string, int64_t>;

/// A device with neither memory nor arithmetic: programs run on it as on any other, and it keeps
/// the books. Its tensors have sizes and addresses, and nothing at the addresses; downloads give
/// zeros. So what a training step needs is read off the step itself, before there is a machine for
/// it, in the time that the host's code takes.
///
/// Counted are tensors, in whole cache lines: what libraries and drivers take for themselves is
/// not.
class DryRunDevice final : public Device {
 public:
  explicit DryRunDevice(Traits traits);
  ~DryRunDevice() override;

  /// Tensors that are made from now on are for `part`.
  void enter(std::string part);
  /// A tensor of this device, with all of its storage, is for `part`.
  void assign(Tensor const& tensor, std::string const& part);

  /// The parts of MemoryUse::peak.
  Parts const& parts_at_peak() const;
  /// The most that there was of each part at once, since the beginning or reset.
  Parts const& peak_of_parts() const;
  /// What kernels did, and how often, since the beginning or reset.
  std::map<Work, int64_t> const& work() const { return work_; }
  /// Forgets work and the most of each part; the peak stays.
  void reset();

  /// Notes a kernel. Bytes of those `tensors` that the cache does not hold from one kernel to the
  /// next: of parts that are more than twice as large.
  void add_work(double flops, std::initializer_list<Tensor const*> tensors);

  std::string describe() const override { return traits_.name; }
  bool fast_bf16() const override { return traits_.fast_bf16; }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  MemoryUse memory() const override;
  int64_t capacity() const override { return traits_.capacity; }
  bool on_host() const override { return false; }
  int64_t cache_bytes() const override { return traits_.cache_bytes; }
  Kernels& kernels() override { return *kernels_; }
  void upload(void const* host, Tensor& tensor) override;
  void download(Tensor const& tensor, void* host) override;
  void copy(Tensor const& from, Tensor& to) override { add_work(0, {&from, &to}); }
  void synchronize() override {}
  std::unique_ptr<InputStage> input_stage() override;
  bool can_capture() const override { return false; }
  std::unique_ptr<Graph> capture(std::function<void()> const& work) override;

 private:
  struct Books;
  Traits traits_;
  std::shared_ptr<Books> books_;  // outlive tensors that outlive the device
  std::unique_ptr<Kernels> kernels_;
  std::map<Work, int64_t> work_;
};

}  // namespace core::dry
