"""Rules for code: what stands where, what is forbidden, and how long things get."""
import posixpath
import re

import source

FLOORS = ["core", "comm", "layers", "train"]
# The rooms of a floor, lowest first, each with the patterns of its files. A room may include itself
# and those before it.
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

# What is not to be found in code: pattern, where the rule holds, where it does not, why.
FORBIDDEN = [
    (r"\bstd::(cout|cerr|clog)\b|\b(printf|fprintf|puts)\s*\(", r"(core|comm|layers)/", None,
     "libraries do not print"),
    (r"(\bstd::|^\s*|[;{}]\s*)(exit|_exit|abort|quick_exit|terminate)\s*\(",
     r"(core|comm|layers|train)/", r"train/commands/main\.cpp|comm/mpi/session\.cpp",
     "libraries throw; main ends the process, and the session all ranks"),
    (r"\bgetenv\s*\(", r"(core|comm|layers|train)/", r"train/commands/main\.cpp",
     "the environment is read in main, so that a run is told by its configuration"),
    (r"\bstatic\s+(?!assert|cast)(?![^=;{(]*\b(const|constexpr|constinit)\b)[\w:<>,&* ]+\s*[;={]",
     r"(core|comm|layers|train)/", None, "nothing static is mutable"),
    (r"\bthread_local\b", r"(core|comm|layers|train)/", None, "nothing static is mutable"),
    (r"\bcuda(Memcpy|Malloc|Free|Memset)\w*\s*\(", r"", r"core/cuda/",
     "memory of a device is its Device's business"),
    (r"^\s*#\s*define\b", r"(core|comm|layers|train)/", r"core/math/host_device\.h", "no macros"),
    (r"\busing\s+namespace\b", r".*\.h$", None, "a header opens no namespace for its readers"),
]
# Libraries and the files that may include them.
CONFINED = [
    (r"dnnl", r"core/cpu/onednn"), (r"mpi\.h$", r"comm/|tests/|bench/"),
    (r"yaml-cpp/", r"train/|tests/"), (r"nlohmann/", r"train/|tests/|bench/"),
    (r"CLI/", r"train/|bench/"), (r"catch2/", r"tests/"),
    (r"(cuda|cublas|cudnn)\w*\.h$", r"core/cuda/|core/dtype\.h|tests/kernels/"),
    (r"nccl\.h$", r"comm/nccl"), (r"(ft2build\.h|freetype/)", r"train/"),
    (r"png\.h$", r"train/|tests/"),
]
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def line_of(text, place):
    return text.count("\n", 0, place) + 1


def check_text(name, text):
    """Rules for every text file."""
    if text and not text.endswith("\n"):
        yield len(text.splitlines()), "no newline at the end"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip():
            yield number, "white space at the end of a line"
        if UNFINISHED.search(line):
            yield number, "finish it, or write down in docs/ what is missing"
        if name.endswith(CODE + (".py",)) and len(line) > MAX_LINE:
            yield number, f"{len(line)} columns, {MAX_LINE} is the limit"


def check_limits(text):
    lines = text.count("\n")
    if lines > MAX_FILE:
        yield 1, f"{lines} lines, {MAX_FILE} is the limit of a file"
    for function in source.functions(text):
        if function.lines > MAX_FUNCTION:
            yield function.line, (f"{function.name} has {function.lines} lines, "
                                  f"{MAX_FUNCTION} is the limit of a function")


def check_forbidden(name, text):
    code = source.code_of(text)
    for pattern, here, not_here, why in FORBIDDEN:
        if re.match(here, name) and not (not_here and re.match(not_here, name)):
            for match in re.finditer(pattern, code, re.M):
                yield line_of(code, match.start()), f"'{match.group().strip()}': {why}"


def floor_of(path):
    """Number of the floor that a file, or a test of it, belongs to; -1 for none."""
    parts = path.split("/")
    folder = parts[1] if parts[0] == "tests" and len(parts) > 2 else parts[0]
    return FLOORS.index(folder) if folder in FLOORS else -1


def room_of(path):
    """(floor, number of the room in it) of a source file; None where the floor has no rooms."""
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
            yield line, f"{posixpath.dirname(name)} stands below {posixpath.dirname(path)}: {path}"


def check_includes(name, text):
    yield from check_rooms(name, text)
    for line, quoted, path in source.includes(text):
        if 0 <= floor_of(name) < floor_of(path) and quoted:
            yield line, f"{FLOORS[floor_of(name)]} stands below {FLOORS[floor_of(path)]}"
        for library, allowed in CONFINED:
            if re.match(library, path) and not re.match(allowed, name):
                yield line, f"<{path}> belongs in {allowed}"


def check_cycles(files):
    """Includes that lead back to where they began."""
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
    """(file, line, why) of every broken rule; `files` are texts by name, None where binary."""
    for name, text in files.items():
        if text is None:
            continue
        yield from ((name, *found) for found in check_text(name, text))
        if name.endswith(CODE):
            for rule in (check_forbidden(name, text), check_includes(name, text),
                         check_limits(text)):
                yield from ((name, *found) for found in rule)
    yield from check_cycles(files)
