#include "tests/support/host_cuda/fiber.h"
#include <utility>
#include "tests/support/host_cuda/sanitizers.h"

namespace tests::host_cuda {
namespace {

namespace context = boost::context;

constexpr size_t stack_bytes = 128 << 10;  // plus a guard page; local arrays of kernels are small

context::protected_fixedsize_stack allocator() {
  return context::protected_fixedsize_stack(stack_bytes);
}

}  // namespace

Fiber::Fiber(std::function<void(Fiber&)> body)
    : body_(std::move(body)),
      stack_(allocator().allocate()),
      inside_(context::detail::make_fcontext(stack_.sp, stack_.size, &enter)),
      identity_(new_identity()) {}

Fiber::~Fiber() {
  delete_identity(identity_);
  forget_frames(bottom(), stack_.size);
  allocator().deallocate(stack_);
}

void Fiber::enter(context::detail::transfer_t from) {
  auto& self = *static_cast<Fiber*>(from.data);
  self.outside_ = from.fctx;
  after_switch(nullptr, &self.outside_bottom_, &self.outside_size_);
  self.body_(self);
}

void Fiber::resume() {
  outside_identity_ = this_identity();
  before_switch(&outside_fake_, bottom(), stack_.size);
  assume_identity(identity_);
  inside_ = context::detail::jump_fcontext(inside_, this).fctx;
  after_switch(outside_fake_, nullptr, nullptr);
}

void Fiber::leave() {
  before_switch(&inside_fake_, outside_bottom_, outside_size_);
  assume_identity(outside_identity_);
  outside_ = context::detail::jump_fcontext(outside_, nullptr).fctx;
  after_switch(inside_fake_, &outside_bottom_, &outside_size_);
}

}  // namespace tests::host_cuda
