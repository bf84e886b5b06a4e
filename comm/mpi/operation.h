#pragma once
#include <exception>
#include <functional>
#include <mpi.h>
#include <vector>
#include "comm/collective.h"
#include "comm/communicator.h"
#include "comm/mpi/stream.h"

namespace comm {

/// Throws: core::Error with MPI's message unless `status` is MPI_SUCCESS (requires
/// MPI_ERRORS_RETURN).
void check_mpi(int status, core::Place at = core::Place::here());

/// One collective on the stream: a sequence of stages. The messages of a stage are in flight
/// together.
///
/// A message's tag encodes the collective and the dtype. Tag and size are checked on receipt, so
/// ranks that call different collectives get an error.
class Operation final : public Pending {
 public:
  using Stage = std::function<void(Operation&)>;

  /// `tensors`: the inputs and outputs, kept alive until the end; the first one determines the
  /// dtype in the tag. `message_bytes`: longer transfers are split.
  Operation(Stream& stream, MPI_Comm comm, Collective what, std::vector<core::Tensor> tensors,
            size_t message_bytes);
  /// Waits, so that memory is not freed while MPI may write to it.
  ~Operation() override;

  /// Appends a stage. It runs when all messages of the previous stage have completed.
  void then(Stage stage) { stages_.push_back(std::move(stage)); }

  /// Called by stages: adds messages to the current stage. Zero bytes send no message.
  void send(std::byte const* data, size_t bytes, int to);
  void receive(std::byte* data, size_t bytes, int from);
  /// Called by stages: adds a message without content.
  void send_signal(int to);
  void receive_signal(int from);

  void wait() override;
  Moved moved() const override { return moved_; }

 private:
  friend class Stream;
  struct Message {
    int peer;
    size_t bytes;
    enum class Way { out, in } way;
  };

  /// Advances without waiting. Returns false if nothing changed.
  bool advance();
  /// Handles messages that have completed. Returns false if there were none.
  bool settle();
  /// Counts a completed message. Throws core::Error if it is not the expected one.
  void count(Message const& message, MPI_Status const& status);
  /// "all_gather of f32: no message from rank 2, 3 for 60 s"
  std::string complaint(Clock::duration timeout) const;
  void add(Message message, MPI_Request request);
  void start_send(std::byte const* data, size_t bytes, int to);
  void start_receive(std::byte* data, size_t bytes, int from);
  int tag() const;

  Stream& stream_;
  MPI_Comm comm_;
  Collective what_;
  std::vector<core::Tensor> tensors_;
  size_t message_bytes_;
  std::vector<Stage> stages_;
  size_t next_ = 0;
  std::vector<Message> messages_;      // messages of the current stage
  std::vector<MPI_Request> requests_;  // their requests; null: completed
  int under_way_ = 0;
  Moved moved_;
  std::vector<int> which_;  // buffers of settle()
  std::vector<MPI_Status> statuses_;
  std::exception_ptr failure_;
  bool done_ = true;  // false from push to the end
};

}  // namespace comm
