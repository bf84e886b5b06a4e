#include "comm/nccl/watchdog.h"

namespace comm {

void Watchdog::add(std::shared_ptr<WatchedCollective const> collective) {
  std::scoped_lock const lock(mutex_);
  if (!failure_) under_way_.push_back(std::move(collective));
}

void Watchdog::look(Clock::time_point now) {
  std::exception_ptr fault;
  {
    std::scoped_lock const lock(mutex_);
    if (failure_) return;
    try {
      fault = find_fault(now);
    } catch (...) {
      fault = std::current_exception();
    }
  }
  if (fault) fail(fault);
}

std::exception_ptr Watchdog::find_fault(Clock::time_point now) {
  for (; !under_way_.empty() && under_way_.front()->ended(); under_way_.pop_front()) {
    last_ = under_way_.front()->name();
    begun_.reset();
  }
  if (auto const error = transport_.error(); !error.empty())
    return std::make_exception_ptr(core::Error(describe_first() + error));
  if (under_way_.empty() || timeout_ == timeout_.zero()) return nullptr;
  if (!begun_ && under_way_.front()->begun()) begun_ = now;
  if (!begun_ || now - *begun_ <= timeout_) return nullptr;
  double const seconds = std::chrono::duration<double>(timeout_).count();
  return std::make_exception_ptr(
      Timeout(core::join(describe_first(), "still running after ", seconds,
                         " s; another rank has not called it, or is in another collective")));
}

/// "all_gather of f32 on rank 1 of 4 (after all_reduce of f32 on rank 1 of 4): "
std::string Watchdog::describe_first() const {
  if (under_way_.empty()) return "";
  auto const before = last_.empty() ? "" : core::join(" (after ", last_, ")");
  return core::join(under_way_.front()->name(), before, ": ");
}

void Watchdog::fail(std::exception_ptr const& reason) {
  {
    std::scoped_lock const lock(mutex_);
    if (failure_) return;
    failure_ = reason;  // set before the abort releases waiting threads
    under_way_.clear();
  }
  transport_.end();
}

void Watchdog::check() const {
  std::scoped_lock const lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace comm
