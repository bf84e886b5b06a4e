"""Tests of the style rules: for each, text that violates it and similar text that does not."""
import sys
import unittest

sys.dont_write_bytecode = True
import docs  # noqa: E402
import rooms  # noqa: E402
import rules  # noqa: E402
import source  # noqa: E402

BROKEN_AND_SOUND = [
    ("core/a.cpp", 'std::cout << "a";', '// std::cout'),
    ("comm/a.cpp", "printf(text);", "snprintf(text);"),
    ("train/a.cpp", "{ exit(1); }", "RunError(int code) : exit(code) {}"),
    ("layers/a.cpp", 'auto const home = std::getenv("HOME");', 'auto const name = "getenv()";'),
    ("core/a.cpp", "static int calls = 0;", "static int const limit = 0;"),
    ("core/a.h", "  static std::map<int, int> cache;", "  static Shape like(Shape const& s);"),
    ("core/a.cpp", "  static Tensor empty{};", "  static_assert(sizeof(int) == 4);"),
    ("layers/a.cpp", "cudaMemcpyAsync(a, b, n);", "device.copy(a, b);"),
    ("core/a.h", "#define SIZE 3", "#pragma once"),
    ("comm/a.h", "using namespace core;", "using core::Tensor;"),
    ("core/a.cpp", '#include "comm/a.h"', '#include "core/a.h"'),
    ("tests/core/a.cpp", '#include "train/a.h"', '#include "tests/support/a.h"'),
    ("train/config/a.h", '#include "train/model/a.h"', '#include "train/config/b.h"'),
    ("train/data/a.h", '#include "train/report/a.h"', '#include "train/formats/a.h"'),
    ("train/errors.h", '#include "train/formats/a.h"', '#include "core/check.h"'),
    ("layers/trunk/a.cpp", '#include "layers/head/a.h"', '#include "layers/layer.h"'),
    ("comm/mpi/a.cpp", '#include "comm/nccl/a.h"', '#include "comm/mesh.h"'),
    ("comm/a.cpp", '#include "comm/open.h"', '#include "comm/a.h"'),
    ("core/a.cpp", "#include <dnnl.hpp>", "#include <vector>"),
    ("train/a.cpp", "#include <mpi.h>", '#include "comm/mpi.h"'),
    ("core/a.cpp", "int a; // TO" "DO", "int a; // to do"),
    ("core/a.cpp", "int a; ", "int a;"),
    ("core/a.cpp", "int " + "a" * 100 + ";", "int " + "a" * 90 + ";"),
    ("core/a.cpp", "int a;\n" * 400, "int a;\n" * 399),
    ("core/a.cpp", "int f() {\n" + "  g();\n" * 59 + "}", "int f() {\n" + "  g();\n" * 58 + "}"),
    ("core/a.h", "/// A rank is to" "ld of it.", "/// A rank receives it."),
    ("core/a.h", "/// Giv" "es the maximum.", "/// Returns the maximum."),
    ("core/a.cpp", "// 0 is for ev" "er", "// 0: no timeout"),
    ("README.md", "only these, though they b" "e slower", "only these, even if slower"),
    ("core/a.cpp", 'fail("this is n' 'o experiment");', 'fail("this is no longer valid");'),
    ("README.md", "so man" "y words", "the first n words"),
    ("core/a.h", "/// what a tile come" "s to.", "/// Partial sums of a tile."),
    ("core/a.h", "/// what becomes o" "f rows", "/// rows"),
    ("core/a.h", "int a;  ///< o" "f a step", "int a;  ///< number of a step"),
    ("core/a.h", "/// it keeps the boo" "ks", "/// it records"),
    ("README.md", "not needed any mo" "re", "any more than one"),
    ("core/a.h", "/// For peop" "le: a name", "/// Human-readable name"),
    ("README.md", "[a](docs/no" "ne.md)", "[a](dev)"),
    ("README.md", "[a](#none)\n# Some", "[a](#some-thing)\n# Some thing"),
    ("README.md", "`core/none.h`", "`core/a.h`"),
    ("README.md", "word " * 24 + "w", "| word " * 24 + "|"),
    ("README.md", "word " * 24 + "w", "```sh\n" + "word " * 24 + "w\n```"),
    ("README.md", "./dev dance", "./dev build"),
    ("README.md", "./dev build-kit", "./dev build"),
    ("README.md", "```cpp core/a.h\nint b;\n```", "```cpp core/a.h\nint a;\n```"),
    ("README.md", "```cpp\nint a;\n```", "```sh\nls\n```"),
    ("configs/a.yaml", "seed: 1", None),
    ("core/a.cpp", "// docs/none.md", "// the docs"),
    ("core/a.cpp", "// NONE.md, section 2", "// README.md"),
    ("core/a.cpp", "// README.md, Rooms", "// README.md, README"),
]
CODE = """#include <map>
namespace a {
struct Pair {
  Pair(int x) noexcept : x_{x}, y_(x) { check("}{"); }
  bool operator==(Pair const&) const = default;
  int x_ = 0, y_{1};
};
std::map<int, int> const table = {{1, f(2)}, {3, 4}};
template <class F>
auto visit(F&& f) -> decltype(f()) {
  auto const twice = [&] { return f(); };
  return twice();
}
}  // namespace a
"""


def problems(name, text):
    return problems_of({"dev": "  build  compile\n", "core/a.h": "int a;\n",
                        "README.md": "# README\n", name: text + "\n"})


def problems_of(files):
    return [*rules.check(files), *docs.check(files)]


class Rules(unittest.TestCase):
    def test_each_fails_where_it_is_broken_and_only_there(self):
        for name, broken, sound in BROKEN_AND_SOUND:
            with self.subTest(broken=broken[:60]):
                self.assertEqual(len(problems(name, broken)), 1, problems(name, broken))
            if sound:
                with self.subTest(sound=sound[:60]):
                    self.assertEqual(problems(name, sound), [])

    def test_include_cycles_are_found(self):
        files = {"core/a.h": '#include "core/b.h"\n', "core/b.h": '#include "core/a.h"\n'}
        self.assertEqual([name for name, *_ in rules.check(files)], ["core/a.h"])

    def test_the_picture_of_rooms_shows_present_includes(self):
        files = {"dev": "  build  compile\n", "train/commands/a.cpp": '#include "train/errors.h"\n',
                 "train/errors.h": "int a;\n"}
        drawn = rooms.picture(files)
        self.assertEqual(problems_of({**files, rooms.PICTURE: drawn}), [])
        changed = {**files, "train/commands/a.cpp": '#include "core/a.h"\n'}
        self.assertEqual(len(problems_of({**changed, rooms.PICTURE: drawn})), 1)

    def test_functions_are_counted(self):
        found = [(f.name, f.line, f.lines) for f in source.functions(CODE)]
        self.assertEqual(found, [("Pair", 4, 1), ("visit", 9, 5)])


if __name__ == "__main__":
    unittest.main()
