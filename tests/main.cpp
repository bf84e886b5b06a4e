// Runs the single-process tests.
#include <iostream>
#include "tests/support/command_line.h"
#include "tests/support/device.h"

int main(int argc, char** argv) {
  return tests::command_line(argc, argv, [](tests::Asked const& asked) {
    try {
      tests::Devices const devices(asked.device, 0);
      return asked.run();
    } catch (tests::NoDevice const& error) {
      std::cerr << "compiled, not run: " << error.what() << '\n';
      return tests::skipped;
    } catch (core::Error const& error) {
      std::cerr << error.what() << '\n';
      return 1;
    }
  });
}
