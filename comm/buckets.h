#pragma once
#include "comm/communicator.h"
#include "core/tape.h"

namespace comm {

/// Sums gradients over ranks while backward goes on.
///
/// Parameters are packed into buckets in the reverse of the order given, which is about the order
/// in which backward completes them. When the last gradient of a bucket is ready, its all-reduce
/// starts; buckets start in their order on every rank, whatever the order of completion.
class GradientBuckets {
 public:
  /// Hooks `ready` of every trainable parameter. Bucket sizes in bytes; a larger parameter has a
  /// bucket of its own. The parameters and the communicator must outlive this.
  GradientBuckets(Communicator& ranks, std::vector<core::Parameter*> parameters,
                  size_t bucket_bytes = size_t{1} << 22);
  ~GradientBuckets();
  GradientBuckets(GradientBuckets const&) = delete;
  GradientBuckets& operator=(GradientBuckets const&) = delete;

  /// In the next step each parameter gets so many gradients, whose sum counts: backward runs as
  /// often.
  void begin(int shares);

  /// Waits for all buckets; then every `grad` is the sum over ranks, a view into its bucket, valid
  /// until the next backward. Throws core::Error naming a parameter that got no gradient.
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
  size_t started_ = 0;  // buckets whose all-reduce has begun in this step
};

}  // namespace comm
