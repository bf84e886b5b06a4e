#pragma once
#include <memory>
#include <string>
#include "core/device.h"
#include "train/plan/step_time.h"

namespace train {

/// The arguments of `colonnade plan`, quantities as written: "141GB". Empty: not given.
struct PlanArguments {
  int ranks = 1;
  std::optional<int64_t> classes;  ///< number of classes; by default the data's
  std::string memory;              ///< memory of a rank
  std::string flops;               ///< FLOP/s of a rank
  std::string bandwidth;           ///< bytes per second of a rank's memory
  std::string network;             ///< bytes per second that a rank sends
  std::string cache;               ///< cache of a rank's device, which sizes chunks on the CPU
};

/// The device that a plan is made for.
struct Target {
  core::dry::Traits traits;
  int64_t memory = 0;                  ///< bytes of a rank; 0: unknown
  std::unique_ptr<core::Device> here;  ///< the device, if this machine has it; otherwise null
};

/// Throws: ConfigError for a quantity that cannot be read.
Target target_of(Experiment const& experiment, PlanArguments const& arguments);

/// Classes and image size from the arguments and the configuration. The data are opened only if
/// these do not determine them.
PlanSizes sizes_of(Experiment const& experiment, PlanArguments const& arguments,
                   core::dry::Traits const& device);

/// The rates given as arguments. Throws: ConfigError for one that cannot be read.
Rates given_rates(PlanArguments const& arguments);

/// Fills in the rates that are 0, measured on the device.
Rates measured_rates(Rates rates, StepPlan const& plan, core::Device& here);

}  // namespace train
