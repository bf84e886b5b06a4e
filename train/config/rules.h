#pragma once
#include "train/config/experiment.h"
#include "train/config/reader.h"

namespace train {

/// Validation across keys: adds to the document an error for each combination of values that cannot
/// be, placed at the key to fix.
void check_rules(Document& document, Experiment const& experiment);

}  // namespace train
