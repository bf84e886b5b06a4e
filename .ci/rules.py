"""Style rules for code: include order, forbidden constructs, and length limits."""
import posixpath
import re

import source

FLOORS = ["core", "comm", "layers", "train"]
# The rooms of each floor, lowest first, as patterns of file names. A room may include itself and
# the rooms before it.
ROOMS = {
    "comm": [r"comm/(?!open|without_nccl)\w+\.", r"comm/mpi/", r"comm/nccl/",
             r"comm/(open|without_nccl)"],
    "layers": [r"layers/\w+\.", r"layers/trunk/", r"layers/head/"],
    "train": [r"train/\w+\.", *(f"train/{room}/" for room in (
        "formats", "config", "model", "checkpoint", "data", "weights", "evaluation", "report",
        "trainer", "plan", "commands"))],
}
CODE = (".h", ".cpp", ".cu", ".cuh")
MAX_FILE, MAX_FUNCTION, MAX_LINE = 400, 60, 100

# Forbidden constructs: pattern, files where the rule applies, exceptions, reason.
FORBIDDEN = [
    (r"\bstd::(cout|cerr|clog)\b|\b(printf|fprintf|puts)\s*\(", r"(core|comm|layers)/",
     r"core/cuda/ignored\.cpp", "libraries must not print; destructors: core/cuda/ignored.h"),
    (r"(\bstd::|^\s*|[;{}]\s*)(exit|_exit|abort|quick_exit|terminate)\s*\(",
     r"(core|comm|layers|train)/", r"train/commands/(main|exit)\.cpp|comm/mpi/session\.cpp",
     "libraries must throw; main ends the process, the session all ranks"),
    (r"\bgetenv\s*\(", r"(core|comm|layers|train)/", r"train/commands/(main|exit)\.cpp",
     "only main may read the environment; use the configuration"),
    (r"\bstatic\s+(?!assert|cast)(?![^=;{(]*\b(const|constexpr|constinit)\b)[\w:<>,&* ]+\s*[;={]",
     r"(core|comm|layers|train)/", None, "static variables must be const"),
    (r"\bthread_local\b", r"(core|comm|layers|train)/", None, "thread_local is not allowed"),
    (r"\bcuda(Memcpy|Malloc|Free|Memset)\w*\s*\(", r"", r"core/cuda/|tests/(support/)?fake_cuda/",
     "use the methods of Device to manage device memory"),
    (r"^\s*#\s*define\b", r"(core|comm|layers|train)/", r"core/math/host_device\.h", "no macros"),
    (r"\busing\s+namespace\b", r".*\.h$", None, "headers must not contain using namespace"),
]
# Headers of libraries, and the files that may include them.
CONFINED = [
    (r"dnnl", r"core/cpu/onednn"), (r"mpi\.h$", r"comm/|tests/|bench/"),
    (r"yaml-cpp/", r"train/|tests/"), (r"nlohmann/", r"train/|tests/|bench/"),
    (r"CLI/", r"train/|bench/"), (r"catch2/", r"tests/"),
    (r"(cuda|cublas|cudnn)\w*\.h$",
     r"core/cuda/|core/dtype\.h|tests/kernels/|tests/(support/)?fake_cuda/"),
    (r"nccl\.h$", r"comm/nccl|tests/(support/)?fake_cuda/"),
    (r"(ft2build\.h|freetype/)", r"train/"),
    (r"png\.h$", r"train/|tests/"),
]
# Phrases of comments, messages and pages, each with its replacement: docs/style.md.
BANNED = [
    (r"\b(is|are|was|be|being|been|as|nobody|ranks?) told\b", "'receives', 'prints', 'by default'"),
    (r"(///|//|\*) Gives\b", "'Returns'"),
    (r"\bfor ever\b", "'no limit', 'no timeout'"),
    (r"\bthough (they|it) be\b", "'even if'"),
    (r"(?<!here )\bis no (?!longer|more than|larger|greater|less)\w+", "'is not a', 'is invalid'"),
    (r"\bso many\b", "the number: 'the first n'"),
    (r"\bwhat \w+ \w+ comes? to\b", "'is', 'the sum of'"),
    (r"\bwhat becomes of\b", "the noun: 'logits of the other classes'"),
    (r"///< (of|that|what)\b", "a noun first: 'standard deviation of ...'"),
    (r"\bkeeps the books\b", "'records'"),
    (r"\bany more\b(?! than)", "'no longer'"),
    (r"\b[Ff]or people\b", "'human-readable'"),
]
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def line_of(text, place):
    return text.count("\n", 0, place) + 1


def check_text(name, text):
    """Checks the rules for every text file."""
    if text and not text.endswith("\n"):
        yield len(text.splitlines()), "missing newline at the end of the file"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip():
            yield number, "trailing white space"
        if UNFINISHED.search(line):
            yield number, "finish it, or document in docs/ what is missing"
        if name.endswith(CODE + (".py",)) and len(line) > MAX_LINE:
            yield number, f"{len(line)} columns; the limit is {MAX_LINE}"


def check_phrases(name, text):
    """The language of comments, messages and pages; docs/style.md lists the phrases themselves."""
    if name.endswith(CODE + (".md", ".yaml")) and name != "docs/style.md":
        for pattern, better in BANNED:
            for match in re.finditer(pattern, text):
                yield line_of(text, match.start()), f"'{match.group()}': write {better}"


def check_limits(text):
    lines = text.count("\n")
    if lines > MAX_FILE:
        yield 1, f"{lines} lines; the limit per file is {MAX_FILE}"
    for function in source.functions(text):
        if function.lines > MAX_FUNCTION:
            yield function.line, (f"{function.name} has {function.lines} lines; "
                                  f"the limit per function is {MAX_FUNCTION}")


def check_forbidden(name, text):
    code = source.code_of(text)
    for pattern, here, not_here, why in FORBIDDEN:
        if re.match(here, name) and not (not_here and re.match(not_here, name)):
            for match in re.finditer(pattern, code, re.M):
                yield line_of(code, match.start()), f"'{match.group().strip()}': {why}"


def floor_of(path):
    """Returns the index of the floor of a file or of its test; -1 for none."""
    parts = path.split("/")
    folder = parts[1] if parts[0] == "tests" and len(parts) > 2 else parts[0]
    return FLOORS.index(folder) if folder in FLOORS else -1


def room_of(path):
    """Returns (floor, index of the room) of a source file; None if the floor has no rooms."""
    floor = path.split("/")[0]
    for number, pattern in enumerate(ROOMS.get(floor, [])):
        if re.match(pattern, path):
            return floor, number
    return None


def check_rooms(name, text):
    room = room_of(name)
    for line, quoted, path in source.includes(text):
        other = room_of(path)
        if quoted and room and other and room[0] == other[0] and room[1] < other[1]:
            yield line, f"{posixpath.dirname(name)} must not use {posixpath.dirname(path)}: {path}"


def check_includes(name, text):
    yield from check_rooms(name, text)
    for line, quoted, path in source.includes(text):
        if 0 <= floor_of(name) < floor_of(path) and quoted:
            yield line, f"{FLOORS[floor_of(name)]} must not include {FLOORS[floor_of(path)]}"
        for library, allowed in CONFINED:
            if re.match(library, path) and not re.match(allowed, name):
                yield line, f"<{path}>: only {allowed} may include it"


def check_cycles(files):
    """Yields include cycles."""
    graph = {name: [path for _, quoted, path in source.includes(text) if quoted and path in files]
             for name, text in files.items() if name.endswith(CODE)}
    done = set()

    def walk(name, trail):
        if name in trail:
            yield name, 1, "includes itself: " + " > ".join(trail[trail.index(name):] + [name])
        elif name not in done:
            for path in graph.get(name, []):
                yield from walk(path, trail + [name])
            done.add(name)

    for name in graph:
        yield from walk(name, [])


def check(files):
    """Yields (file, line, reason) per violation; `files`: texts by name, None if binary."""
    for name, text in files.items():
        if text is None:
            continue
        for rule in (check_text(name, text), check_phrases(name, text)):
            yield from ((name, *found) for found in rule)
        if name.endswith(CODE):
            for rule in (check_forbidden(name, text), check_includes(name, text),
                         check_limits(text)):
                yield from ((name, *found) for found in rule)
    yield from check_cycles(files)
