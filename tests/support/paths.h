#pragma once
#include <string>

/// Paths of the source tree and the build. They are defined in a separate file, so that a compiler
/// cache shares the other object files between folders.
namespace tests {

/// Returns the project's folder, which contains docs/ and configs/.
std::string source_folder();

/// Returns the path of this build's program `colonnade`.
std::string program();

}  // namespace tests
