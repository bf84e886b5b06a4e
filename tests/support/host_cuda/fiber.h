#pragma once
#include <boost/context/detail/fcontext.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <functional>

namespace tests::host_cuda {

/// A function with its own stack that can suspend and resume. A guard page ends the stack. Each
/// switch is announced to the sanitizers; to ThreadSanitizer every fiber is a thread, and a switch
/// does not synchronize.
class Fiber {
 public:
  /// `body` receives the fiber and never returns. It is never unwound: destroying the fiber leaks
  /// the objects on its stack.
  explicit Fiber(std::function<void(Fiber&)> body);
  ~Fiber();
  Fiber(Fiber const&) = delete;
  Fiber& operator=(Fiber const&) = delete;

  /// Runs the body until it suspends.
  void resume();
  /// Called by the body: suspends it and returns to the caller of resume().
  void leave();

  /// Handle of the fiber in ThreadSanitizer.
  void* identity() const { return identity_; }

 private:
  static void enter(boost::context::detail::transfer_t from);
  void const* bottom() const { return static_cast<char*>(stack_.sp) - stack_.size; }

  std::function<void(Fiber&)> body_;
  boost::context::stack_context stack_;
  boost::context::detail::fcontext_t inside_, outside_ = nullptr;
  // For AddressSanitizer: the stacks of locals that outlive their frames, and the caller's stack.
  void *inside_fake_ = nullptr, *outside_fake_ = nullptr;
  void const* outside_bottom_ = nullptr;
  size_t outside_size_ = 0;
  // For ThreadSanitizer.
  void *identity_, *outside_identity_ = nullptr;
};

}  // namespace tests::host_cuda
