#include "comm/mpi/operation.h"
#include <algorithm>
#include <array>
#include <utility>

namespace comm {
namespace {

constexpr int dtypes = 8;    // number of dtypes that fit into a tag
constexpr int no_dtype = 7;  // dtype of a barrier

/// The name encoded in a tag: "all_gather of f32".
std::string name_of(int tag) {
  auto const what = static_cast<Collective>(tag / dtypes);
  if (tag < 0 || what > Collective::barrier) return "an unknown collective";
  if (tag % dtypes == no_dtype) return name(what);
  return core::join(what, " of ", static_cast<core::Dtype>(tag % dtypes));
}

std::string text_of(int status) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  return {text.data(), static_cast<size_t>(length)};
}

}  // namespace

void check_mpi(int status, core::Place at) {
  if (status != MPI_SUCCESS) core::fail({text_of(status).c_str(), at});
}

Operation::Operation(Stream& stream, MPI_Comm comm, Collective what,
                     std::vector<core::Tensor> tensors, size_t message_bytes)
    : stream_(stream),
      comm_(comm),
      what_(what),
      tensors_(std::move(tensors)),
      message_bytes_(message_bytes) {}

Operation::~Operation() { stream_.wait(*this); }

int Operation::tag() const {
  int const dtype = tensors_.empty() ? no_dtype : static_cast<int>(tensors_.front().dtype());
  return static_cast<int>(what_) * dtypes + dtype;
}

void Operation::wait() {
  stream_.wait(*this);
  if (failure_) std::rethrow_exception(failure_);
}

void Operation::send(std::byte const* data, size_t bytes, int to) {
  for (size_t at = 0; at < bytes; at += message_bytes_)
    start_send(data + at, std::min(message_bytes_, bytes - at), to);
}

void Operation::receive(std::byte* data, size_t bytes, int from) {
  for (size_t at = 0; at < bytes; at += message_bytes_)
    start_receive(data + at, std::min(message_bytes_, bytes - at), from);
}

void Operation::send_signal(int to) { start_send(nullptr, 0, to); }

void Operation::receive_signal(int from) { start_receive(nullptr, 0, from); }

void Operation::start_send(std::byte const* data, size_t bytes, int to) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag(), comm_, &request));
  add({to, bytes, Message::Way::out}, request);
}

void Operation::start_receive(std::byte* data, size_t bytes, int from) {
  // Any tag: messages between two ranks arrive in order, and a message with a wrong tag should be
  // reported, not waited past.
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, MPI_ANY_TAG, comm_, &request));
  add({from, bytes, Message::Way::in}, request);
}

void Operation::add(Message message, MPI_Request request) {
  messages_.push_back(message);
  requests_.push_back(request);
  ++under_way_;
}

bool Operation::advance() {
  try {
    if (under_way_ > 0) return settle();
    messages_.clear();
    requests_.clear();
    done_ = failure_ || next_ == stages_.size();
    if (!done_) stages_[next_++](*this);
  } catch (...) {
    if (failure_) return false;
    failure_ = std::current_exception();
  }
  return true;
}

bool Operation::settle() {
  which_.resize(requests_.size());
  statuses_.resize(requests_.size());
  int through = 0;
  int const status = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &through,
                                  which_.data(), statuses_.data());
  if (status != MPI_ERR_IN_STATUS) check_mpi(status);
  if (through == MPI_UNDEFINED)
    through = under_way_ = 0;  // after an error MPI may report fewer requests
  under_way_ -= through;
  for (size_t i = 0; i < static_cast<size_t>(through); ++i) {
    // MPI sets MPI_ERROR of a status only when it returns MPI_ERR_IN_STATUS.
    if (status == MPI_SUCCESS) statuses_[i].MPI_ERROR = MPI_SUCCESS;
    count(messages_[static_cast<size_t>(which_[i])], statuses_[i]);
  }
  return through > 0;
}

std::string Operation::complaint(Clock::duration timeout) const {
  std::string text = name_of(tag()) + ": no message from rank";
  std::string separator = " ";
  for (size_t m = 0; m < messages_.size(); ++m) {
    if (requests_[m] == MPI_REQUEST_NULL || messages_[m].way == Message::Way::out) continue;
    text += std::exchange(separator, ", ") + std::to_string(messages_[m].peer);
  }
  return text + core::join(" for ", std::chrono::duration<double>(timeout).count(), " s");
}

void Operation::count(Message const& message, MPI_Status const& status) {
  if (message.way == Message::Way::in && status.MPI_TAG != tag())
    core::fail("in ", name_of(tag()), ": rank ", message.peer, " is in ", name_of(status.MPI_TAG));
  if (status.MPI_ERROR == MPI_ERR_TRUNCATE)
    core::fail("in ", name_of(tag()), ": rank ", message.peer, " sent more than the ",
               message.bytes, " bytes expected");
  if (status.MPI_ERROR != MPI_SUCCESS)
    core::fail("in ", name_of(tag()), " with rank ", message.peer, ": ", text_of(status.MPI_ERROR));
  if (message.way == Message::Way::out) {
    moved_.sent += static_cast<int64_t>(message.bytes);
    return;
  }
  int bytes = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes));
  if (static_cast<size_t>(bytes) != message.bytes)
    core::fail("in ", name_of(tag()), ": rank ", message.peer, " sent ", bytes,
               " bytes instead of ", message.bytes);
  moved_.received += bytes;
}

}  // namespace comm
