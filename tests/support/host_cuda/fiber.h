#pragma once
#include <boost/context/detail/fcontext.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <functional>

namespace tests::host_cuda {

/// A function with a stack of its own that leaves and goes on where it left. Its stack ends at a
/// page that must not be touched. The sanitizers are told of each switch; to ThreadSanitizer every
/// fiber is a thread, and a switch orders nothing.
class Fiber {
 public:
  /// `body` gets the fiber and never returns. It is never unwound: what it holds when the fiber is
  /// destroyed is lost.
  explicit Fiber(std::function<void(Fiber&)> body);
  ~Fiber();
  Fiber(Fiber const&) = delete;
  Fiber& operator=(Fiber const&) = delete;

  /// Runs the body until it leaves.
  void resume();
  /// From the body: back to who resumed it.
  void leave();

  /// What ThreadSanitizer knows the fiber by.
  void* identity() const { return identity_; }

 private:
  static void enter(boost::context::detail::transfer_t from);
  void const* bottom() const { return static_cast<char*>(stack_.sp) - stack_.size; }

  std::function<void(Fiber&)> body_;
  boost::context::stack_context stack_;
  boost::context::detail::fcontext_t inside_, outside_ = nullptr;
  // AddressSanitizer's: the stacks of locals that outlive their frames, and the caller's stack.
  void *inside_fake_ = nullptr, *outside_fake_ = nullptr;
  void const* outside_bottom_ = nullptr;
  size_t outside_size_ = 0;
  // ThreadSanitizer's.
  void *identity_, *outside_identity_ = nullptr;
};

}  // namespace tests::host_cuda
