#pragma once
#include <string>
#include <vector>
#include "train/config/experiment.h"

namespace train {

/// Returns the faces with `path` replaced by the canonical path of the font file (find_font).
/// Throws: MissingInput.
std::vector<Face> find_files(std::vector<Face> faces);

/// Checks that no test font is related to a training font, since recognition in a related font
/// measures memorization. Two faces are related if they share a file or a family name. `section`:
/// section of the configuration for the message, such as "data.words".
/// Throws: ConfigError with both fonts.
void check_lineages(std::string const& section, std::vector<Face> const& train,
                    std::vector<Face> const& test);

}  // namespace train
