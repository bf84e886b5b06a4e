#include "core/cuda/input_stage.h"
#include <cstring>

namespace core::cuda {

CudaInputStage::CudaInputStage(Cuda& device) : device_(device) {}

/// Waits: pinned memory must not be freed while a copy reads it.
CudaInputStage::~CudaInputStage() {
  ignore(cudaStreamSynchronize(copies_.get()), "cudaStreamSynchronize");
}

Tensor CudaInputStage::next(void const* host, Shape const& shape, Dtype dtype) {
  check(cudaEventRecord(slots_[newest_].read.get(), device_.stream()));
  newest_ = 1 - newest_;
  Slot& slot = slots_[newest_];
  check(cudaEventSynchronize(slot.copied.get()));  // its staging memory is free again
  fit(slot, shape, dtype);
  size_t const bytes = slot.tensor.bytes();
  if (bytes == 0) return slot.tensor;
  std::memcpy(slot.staging->data(), host, bytes);
  check(cudaStreamWaitEvent(copies_.get(), slot.read.get()));
  check(cudaMemcpyAsync(slot.tensor.raw(), slot.staging->data(), bytes, cudaMemcpyHostToDevice,
                        copies_.get()));
  follow(copies_.get(), device_.stream(), slot.copied);
  return slot.tensor;
}

void CudaInputStage::fit(Slot& slot, Shape const& shape, Dtype dtype) const {
  if (slot.tensor && slot.tensor.shape() == shape && slot.tensor.dtype() == dtype) return;
  slot.tensor = Tensor(device_, shape, dtype);
  // Queued work may still use this memory in its previous tensor.
  check(cudaEventRecord(slot.read.get(), device_.stream()));
  if (!slot.staging || slot.staging->size() < slot.tensor.bytes())
    slot.staging.emplace(std::max<size_t>(slot.tensor.bytes(), 1));
}

}  // namespace core::cuda
