// Compiles Catch's runner; no other file does.
#define CATCH_CONFIG_RUNNER
#include "tests/support/command_line.h"
#include <catch2/catch.hpp>

int tests::command_line(int argc, char** argv, std::function<int(Asked const&)> const& body) {
  Catch::Session session;
  std::string device = "cpu";
  session.cli(session.cli() |
              Catch::clara::Opt(device, "name")["--device"]("the device under test (cpu)"));
  int const wrong = session.applyCommandLine(argc, argv);
  auto const& asked = session.configData();
  bool const lists =
      asked.listTests || asked.listTags || asked.listTestNamesOnly || asked.listReporters;
  if (wrong || asked.showHelp || lists) return wrong ? wrong : session.run();
  return body({device, [&session] { return session.run(); }});
}
