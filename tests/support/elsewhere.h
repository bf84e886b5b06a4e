#pragma once
#include "core/cpu/device.h"

namespace tests {

/// A device other than the CPU, for code that checks where a tensor lies. Its memory is host
/// memory.
class Elsewhere final : public core::Device {
 public:
  std::string describe() const override { return "another device"; }
  bool fast_bf16() const override { return host_.fast_bf16(); }
  std::shared_ptr<std::byte> allocate(size_t bytes) override { return host_.allocate(bytes); }
  core::MemoryUse memory() const override { return host_.memory(); }
  int64_t cache_bytes() const override { return host_.cache_bytes(); }
  int64_t capacity() const override { return host_.capacity(); }
  int64_t free_memory() const override { return host_.free_memory(); }
  bool on_host() const override { return false; }
  core::Kernels& kernels() override { return host_.kernels(); }
  void upload(void const* host, core::Tensor& tensor) override { host_.upload(host, tensor); }
  void download(core::Tensor const& tensor, void* host) override { host_.download(tensor, host); }
  void copy(core::Tensor const& from, core::Tensor& to) override { host_.copy(from, to); }
  void synchronize() override { host_.synchronize(); }
  std::unique_ptr<core::InputStage> input_stage() override { return host_.input_stage(); }
  bool can_capture() const override { return host_.can_capture(); }
  std::unique_ptr<core::Graph> capture(std::function<void()> const& work) override {
    return host_.capture(work);
  }

 private:
  core::cpu::Cpu host_;
};

}  // namespace tests
