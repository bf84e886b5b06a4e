#pragma once
#include <iosfwd>
#include <string>
#include "train/config/experiment.h"
#include "train/errors.h"

namespace train {

/// The arguments of `colonnade plan`, as they are written: "141GB". Empty: not given.
struct PlanArguments {
  int ranks = 1;
  int64_t classes = 0;    ///< instead of those of the data; 0: those
  std::string memory;     ///< of a rank
  std::string flops;      ///< a second, of a rank
  std::string bandwidth;  ///< bytes a second of a rank's memory
  std::string network;    ///< bytes a second that a rank sends
  std::string cache;      ///< of a rank's device, by which chunks are sized
};

/// colonnade plan: what a step of an experiment takes of each rank, before anything is launched.
/// One process; the data are opened only where the configuration does not say how many classes
/// there are, and how large an image. Exit::out_of_memory where it does not fit. Throws
/// ConfigError, and what opening the data throws.
Exit plan_command(Experiment const& experiment, PlanArguments const& arguments, std::ostream& out);

}  // namespace train
