#pragma once
#include <functional>
#include <string>
#include <vector>
#include "comm/communicator.h"
#include "train/errors.h"

/// Work that may fail on one rank alone, agreed on by all, so that none waits for one that gave up.
namespace train {

/// Every rank's text, in rank order, by way of the device's memory.
std::vector<std::string> gather_texts(comm::Communicator& ranks, core::Device& device,
                                      std::string const& mine);

/// How a rank's work went.
struct Outcome {
  int rank = 0;
  Exit exit = Exit::done;  ///< `done`, or the exit code of the error it threw
  std::string text;        ///< what it returned, or the error's message
};

/// Runs `work` on every rank; the outcomes of all, in rank order, on each.
std::vector<Outcome> rank_outcomes(comm::Communicator& ranks, core::Device& device,
                                   std::function<std::string()> const& work);

/// What `work` returned on every rank, in rank order. When it threw on any, throws IoError on all,
/// with the first such rank and its message.
std::vector<std::string> on_all_ranks(comm::Communicator& ranks, core::Device& device,
                                      std::function<std::string()> const& work);

}  // namespace train
