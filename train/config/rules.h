#pragma once
#include "train/config/experiment.h"
#include "train/config/reader.h"

namespace train {

/// Validation across keys: adds an error to the document for each invalid combination of values, at
/// the key to fix.
void check_rules(Document& document, Experiment const& experiment);

}  // namespace train
