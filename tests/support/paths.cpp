#include "tests/support/paths.h"

std::string tests::source_folder() { return COLONNADE_SOURCE; }

std::string tests::program() { return COLONNADE_BINARY; }
