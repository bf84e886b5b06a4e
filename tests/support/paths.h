#pragma once
#include <string>

/// Where the tests were built from. In a file of its own, so that a compiler cache knows the others
/// in every folder.
namespace tests {

/// The project's folder, which has docs/ and configs/.
std::string source_folder();

/// The program `colonnade` of this build.
std::string program();

}  // namespace tests
