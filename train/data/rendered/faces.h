#pragma once
#include <string>
#include <vector>
#include "train/config/experiment.h"

namespace train {

/// The same faces with the files their names stand for. Throws MissingInput.
std::vector<Face> find_files(std::vector<Face> faces);

/// Throws ConfigError, naming both, where a test font is of a training font's lineage: it would
/// measure memory. Of one lineage are those of a file, and those of a family's name. `section`: the
/// one that has the fonts.
void check_lineages(std::string const& section, std::vector<Face> const& train,
                    std::vector<Face> const& test);

}  // namespace train
