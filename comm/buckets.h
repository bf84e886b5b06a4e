#pragma once
#include "comm/communicator.h"
#include "core/tape.h"

namespace comm {

/// Sums gradients over ranks, overlapped with backward (as PyTorch's DistributedDataParallel does).
///
/// Parameters are packed into buckets in reverse order, which is close to the order in which
/// backward completes them. A bucket's all-reduce starts when its last gradient is ready. Buckets
/// start in the same order on every rank, whatever the order of completion.
class GradientBuckets {
 public:
  /// Sets the `ready` hook of every trainable parameter. `bucket_bytes`: size of a bucket; a larger
  /// parameter gets a bucket of its own. `ranks` and `parameters` must outlive this object.
  /// Throws: core::Error if a parameter already has a `ready` hook.
  GradientBuckets(Communicator& ranks, std::vector<core::Parameter*> parameters,
                  size_t bucket_bytes = size_t{1} << 22);
  ~GradientBuckets();
  GradientBuckets(GradientBuckets const&) = delete;
  GradientBuckets& operator=(GradientBuckets const&) = delete;

  /// Sets the number of backward passes per step (gradient accumulation), 1 by default. The
  /// gradients of a step are summed.
  /// Throws: core::Error unless `shares` is positive.
  void begin(int shares);

  /// Waits for all buckets. Every `grad` is then the sum over ranks: a view into its bucket, valid
  /// until the next backward.
  /// Throws: core::Error naming a parameter with missing gradients.
  void finish();

 private:
  struct Member;
  struct Bucket;
  void add(core::Parameter& parameter, size_t bucket_bytes);
  void ready(Bucket& bucket, Member& member);
  void add_share(Member& member);
  void start_complete();

  Communicator& ranks_;
  std::vector<Bucket> buckets_;
  int shares_ = 1;
  size_t started_ = 0;  // number of buckets whose all-reduce has started in this step
};

}  // namespace comm
