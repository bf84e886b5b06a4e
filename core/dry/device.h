#pragma once
#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>
#include "core/columns.h"
#include "core/device.h"

namespace core::dry {

/// Work of one kernel: floating-point operations of a matrix product or convolution, and bytes read
/// from and written to memory.
struct Work {
  double flops = 0, bytes = 0;
  int64_t rows = 0, columns = 0, depth = 0;  ///< sizes of a matrix product; otherwise 0
  auto operator<=>(Work const&) const = default;
};

/// Kernels by their work, with the number of their executions.
using WorkCounts = std::map<Work, int64_t>;

/// A part of a dry run: kernels, and then at most one start of a transfer between ranks, or one
/// wait for it.
struct Stretch {
  std::string phase;
  WorkCounts work;
  std::optional<size_t> starts, waits;  ///< index of the transfer
};

/// A transfer between ranks.
struct Transfer {
  std::string label;
  double sent;  ///< bytes sent by this rank
};

/// Device properties that size decisions depend on.
struct Traits {
  std::string name;
  int64_t cache_bytes;
  bool fast_bf16;
  int64_t capacity = 0;  ///< bytes of memory; 0: unknown
  bool on_host = false;
};

/// A tensor, or some of its columns, that a kernel reads or writes.
struct Touched {
  Tensor const& tensor;
  double bytes;

  Touched(Tensor const& tensor) : tensor(tensor), bytes(static_cast<double>(tensor.bytes())) {}
  Touched(Columns const& columns)
      : tensor(columns.matrix),
        bytes(static_cast<double>(columns.rows() * columns.count) *
              static_cast<double>(size_of(columns.dtype()))) {}
};

/// Bytes by part of the program.
using Parts = std::map<std::string, int64_t>;

/// Dry-run device: runs a program without memory and arithmetic, and records allocations and kernel
/// work. Tensors have sizes and unique addresses, but no storage; downloads return zeros. The
/// memory and FLOPs of a training step are thus measured by running the step itself, without the
/// target machine, in the time of the host code alone.
///
/// Recorded are tensors, rounded up to whole cache lines. Memory of libraries and drivers is not
/// included.
class DryRunDevice final : public Device {
 public:
  explicit DryRunDevice(Traits traits);
  ~DryRunDevice() override;

  /// Assigns tensors allocated from now on to `part`.
  void enter(std::string part);
  /// Assigns the storage of an existing tensor of this device to `part`.
  void assign(Tensor const& tensor, std::string const& part);

  /// Bytes by part at the time of MemoryUse::peak.
  Parts const& parts_at_peak() const;
  /// Peak bytes of each part, since construction or reset.
  Parts const& peak_of_parts() const;
  /// Counts the work of kernels under `phase` from now on.
  void begin_phase(std::string phase);
  /// Records the start of a transfer beside the kernels; returns its index.
  size_t start_transfer(Transfer transfer);
  /// Records that the following kernels wait for a transfer.
  void wait_for_transfer(size_t index);
  /// Kernels, starts and waits in their order, since construction or reset.
  std::vector<Stretch> const& stretches() const { return stretches_; }
  std::vector<Transfer> const& transfers() const { return transfers_; }
  /// Clears the recorded work, transfers, and the peaks of the parts; MemoryUse::peak is kept. No
  /// transfer may be in flight.
  void reset();

  /// Records one kernel. Adds to `work` the bytes of those `tensors` that a cache does not retain
  /// between kernels: tensors of parts larger than twice the cache.
  void add_work(Work work, std::initializer_list<Touched> tensors);

  std::string describe() const override { return traits_.name; }
  bool fast_bf16() const override { return traits_.fast_bf16; }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  MemoryUse memory() const override;
  int64_t capacity() const override { return traits_.capacity; }
  int64_t free_memory() const override;
  bool on_host() const override { return traits_.on_host; }
  int64_t cache_bytes() const override { return traits_.cache_bytes; }
  Kernels& kernels() override { return *kernels_; }
  void upload(void const* host, Tensor& tensor) override;
  void download(Tensor const& tensor, void* host) override;
  void copy(Tensor const& from, Tensor& to) override { add_work({}, {from, to}); }
  void synchronize() override {}
  std::unique_ptr<InputStage> input_stage() override;
  bool can_capture() const override { return false; }
  std::unique_ptr<Graph> capture(std::function<void()> const& work) override;

 private:
  struct Books;
  Traits traits_;
  std::shared_ptr<Books> books_;  // shared with tensors, which may outlive the device
  std::unique_ptr<Kernels> kernels_;
  std::vector<Stretch> stretches_{1};  // never empty: the last one is being recorded
  std::vector<Transfer> transfers_;
};

}  // namespace core::dry
