#pragma once
#include <functional>
#include <string>
#include <vector>
#include "comm/communicator.h"
#include "train/errors.h"

/// Runs work that may fail on some ranks only, and makes all ranks agree on the result, so that no
/// rank waits in a collective for one that has failed. All functions are collective.
namespace train {

/// Returns every rank's text, in rank order. The all-gather uses tensors on `device`.
std::vector<std::string> gather_texts(comm::Communicator& ranks, core::Device& device,
                                      std::string const& mine);

/// Result of one rank's work.
struct Outcome {
  int rank = 0;
  Exit exit = Exit::done;  ///< `done`, or the exit code of the error it threw
  std::string text;        ///< return value of the work, or the error message
};

/// Runs `work` on every rank and returns the outcomes of all ranks, in rank order.
std::vector<Outcome> rank_outcomes(comm::Communicator& ranks, core::Device& device,
                                   std::function<std::string()> const& work);

/// Runs `work` on every rank and returns the results of all ranks, in rank order.
/// Throws: IoError on every rank if `work` threw on any, with the first such rank and its message.
std::vector<std::string> on_all_ranks(comm::Communicator& ranks, core::Device& device,
                                      std::function<std::string()> const& work);

}  // namespace train
