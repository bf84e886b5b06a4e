#include "comm/buckets.h"
#include "core/device.h"
#include "core/kernels.h"

namespace comm {

struct GradientBuckets::Member {
  core::Parameter* parameter;
  core::Tensor sum;  ///< view into the bucket, with the shape of the parameter
  int shares = 0;    ///< number of gradients received in this step
};

/// Consecutive parameters of one dtype. With one rank, memory is allocated only for gradient
/// accumulation.
struct GradientBuckets::Bucket {
  std::vector<Member> members;
  size_t bytes = 0;
  size_t arrived = 0;
  core::Tensor sums;
  PendingPtr pending;

  bool complete() const { return arrived == members.size(); }
  void allocate();
};

/// Allocates one flat tensor and the views of the members into it.
void GradientBuckets::Bucket::allocate() {
  core::Tensor const& first = members.front().parameter->value;
  auto const count = static_cast<int64_t>(bytes / size_of(first.dtype()));
  sums = core::Tensor(first.device(), {count}, first.dtype());
  int64_t begin = 0;
  for (Member& member : members) {
    core::Tensor const& value = member.parameter->value;
    member.sum = sums.rows(begin, begin + value.count()).reshape(value.shape());
    begin += value.count();
  }
}

GradientBuckets::GradientBuckets(Communicator& ranks, std::vector<core::Parameter*> parameters,
                                 size_t bucket_bytes)
    : ranks_(ranks) {
  for (auto p = parameters.rbegin(); p != parameters.rend(); ++p)
    if ((*p)->trainable()) add(**p, bucket_bytes);
  for (Bucket& bucket : buckets_) {
    if (ranks.size() > 1) bucket.allocate();
    for (Member& member : bucket.members)
      member.parameter->ready = [&](core::Parameter&) { ready(bucket, member); };
  }
}

GradientBuckets::~GradientBuckets() {
  for (Bucket& bucket : buckets_)
    for (Member& member : bucket.members) member.parameter->ready = nullptr;
}

void GradientBuckets::add(core::Parameter& parameter, size_t bucket_bytes) {
  core::check(!parameter.ready, "parameter ", parameter.name, " already has a ready hook");
  core::Tensor const& value = parameter.value;
  auto const fits = [&](Bucket const& last) {
    return last.bytes + value.bytes() <= bucket_bytes &&
           last.members.back().parameter->value.dtype() == value.dtype();
  };
  if (buckets_.empty() || !fits(buckets_.back())) buckets_.emplace_back();
  buckets_.back().members.push_back({&parameter, {}});
  buckets_.back().bytes += value.bytes();
}

void GradientBuckets::begin(int shares) {
  core::check(shares > 0, "gradient accumulation over ", shares,
              " backward passes; must be positive");
  shares_ = shares;
  if (shares == 1) return;
  for (Bucket& bucket : buckets_)
    if (!bucket.sums) bucket.allocate();
}

void GradientBuckets::ready(Bucket& bucket, Member& member) {
  core::check(member.shares < shares_, "gradient ", member.shares + 1, " of ",
              member.parameter->name, " in one step; backward passes per step: ", shares_);
  if (ranks_.size() > 1 || shares_ > 1) add_share(member);
  if (++member.shares < shares_) return;
  ++bucket.arrived;
  if (ranks_.size() > 1) start_complete();
}

void GradientBuckets::add_share(Member& member) {
  core::Parameter& parameter = *member.parameter;
  core::check(parameter.grad.shape() == parameter.value.shape() &&
                  parameter.grad.dtype() == parameter.value.dtype(),
              "gradient of ", parameter.name, " is ", parameter.grad.dtype(), " ",
              parameter.grad.shape(), ", but its value is ", parameter.value.dtype(), " ",
              parameter.value.shape());
  auto& device = parameter.grad.device();
  if (member.shares == 0)
    device.copy(parameter.grad, member.sum);
  else
    device.kernels().accumulate(1, parameter.grad, member.sum);
  parameter.grad = member.sum;
}

void GradientBuckets::start_complete() {
  for (; started_ < buckets_.size() && buckets_[started_].complete(); ++started_)
    buckets_[started_].pending = ranks_.all_reduce(buckets_[started_].sums, Reduce::sum);
}

void GradientBuckets::finish() {
  for (Bucket const& bucket : buckets_)
    for (Member const& member : bucket.members)
      core::check(member.shares == shares_, "missing gradient of ", member.parameter->name,
                  " in this step: received ", member.shares, " of ", shares_);
  for (Bucket& bucket : buckets_) {
    if (bucket.pending) bucket.pending->wait();
    bucket.pending.reset();
    bucket.arrived = 0;
    for (Member& member : bucket.members) member.shares = 0;
  }
  started_ = 0;
}

}  // namespace comm
