#pragma once
#include <deque>
#include <stdexcept>
#include <vector>
#include "tests/support/fake_cuda/meeting.h"

namespace tests::fake_cuda {

/// Calls of ranks that do not match.
struct Disagreement : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs the calls of one group on this rank, without ever waiting for another rank. Collectives run
/// in the order of the calls; so do the sends to each rank, and the receives from each rank.
class Exchange {
 public:
  Exchange(std::vector<Call> const& calls, Meeting& meeting);

  /// Moves what can be moved now. Returns true when everything is done.
  /// Throws: Disagreement.
  bool advance();

 private:
  /// Calls that run one after another.
  struct Lane {
    std::deque<Call> calls;
    size_t offset = 0;  // elements of the first call that are done
    bool sent = false;  // true between sending a piece of a collective and receiving the others'
  };

  /// Moves one piece of the lane's first call, if that is possible.
  bool step(Lane& lane);
  bool collective(Lane& lane);
  bool send(Lane& lane);
  bool receive(Lane& lane);
  /// True if all ranks have sent their pieces.
  bool received(Lane const& lane);
  /// Number of elements of the lane's next piece, if `blocks` of them fit into a mailbox.
  static size_t piece(Lane const& lane, int blocks);
  /// Counts `elements` as done.
  static void pass(Lane& lane, size_t elements);

  Meeting& meeting_;
  std::vector<Lane> lanes_;
};

}  // namespace tests::fake_cuda
