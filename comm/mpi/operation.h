#pragma once
#include <exception>
#include <functional>
#include <mpi.h>
#include <vector>
#include "comm/collective.h"
#include "comm/communicator.h"
#include "comm/mpi/stream.h"

namespace comm {

/// Throws core::Error with MPI's own text unless `status` is MPI_SUCCESS (needs MPI_ERRORS_RETURN).
void check_mpi(int status, core::Place at = core::Place::here());

/// One collective on the stream: stages that follow each other, each a set of messages that travel
/// together.
///
/// Messages carry the collective and the dtype in their tag and are checked for it and for their
/// size, so ranks that call different things find out.
class Operation final : public Pending {
 public:
  using Stage = std::function<void(Operation&)>;

  /// `comm`: the ranks. `tensors`: what is read and written, whose storage is kept until the end;
  /// the first gives the dtype. `message_bytes`: a longer transfer is cut.
  Operation(Stream& stream, MPI_Comm comm, Collective what, std::vector<core::Tensor> tensors,
            size_t message_bytes);
  /// Waits: memory is never given back while MPI may write to it.
  ~Operation() override;

  /// Adds a stage; it runs when all messages of the one before have arrived.
  void then(Stage stage) { stages_.push_back(std::move(stage)); }

  /// For stages: messages of this stage. No bytes, no message.
  void send(std::byte const* data, size_t bytes, int to);
  void receive(std::byte* data, size_t bytes, int from);
  /// For stages: a message without content.
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

  /// Goes as far as it can without waiting. False when nothing has changed.
  bool advance();
  /// Takes note of the messages that have arrived or left. False when none has.
  bool settle();
  /// Counts a message that is through. Throws where it is not the one that was expected.
  void count(Message const& message, MPI_Status const& status);
  /// "all_gather of f32: nothing from rank 2, 3 for 60 s"
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
  std::vector<Message> messages_;      // of the stage
  std::vector<MPI_Request> requests_;  // theirs; null for those that are through
  int under_way_ = 0;
  Moved moved_;
  std::vector<int> which_;  // buffers of settle()
  std::vector<MPI_Status> statuses_;
  std::exception_ptr failure_;
  bool done_ = true;  // but from push to the end
};

}  // namespace comm
