"""Minimal C++ parsing: enough to measure functions, and to search code without comments."""
import re
from dataclasses import dataclass

_NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<mark>\w*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|"""
    r"""(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'""", re.S)
_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
_SCOPE = re.compile(r"\b(namespace|class|struct|enum|union|extern)\b")
_INITIALISER = re.compile(r"\)\s*(noexcept\s*)?:(?!:).*[\w>]\s*$", re.S)


@dataclass
class Function:
    name: str
    line: int
    lines: int


def code_of(text):
    """Returns the text with comments and literals blanked; line numbers do not change."""
    return _NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def includes(text):
    """Yields (line, quoted, path) for every #include."""
    for match in _INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(1)) + 1, match.group(1) == '"', match.group(2)


def functions(text):
    """Yields every function with a body; lambdas and local classes count as part of it."""
    code = re.sub(r"^\s*#.*", lambda match: " " * len(match.group()), code_of(text), flags=re.M)
    begin = 0  # start of the declaration before the next brace
    for place in (scan := _Scan(code)):
        mark = code[place]
        if mark in ";}":
            begin = place + 1
        elif mark == "{":
            head = code[begin:place]
            kind = _kind(head)
            if kind == "scope":
                begin = place + 1
                continue
            end = scan.skip_block(place)
            if kind == "function":
                first = begin + len(head) - len(head.lstrip())
                line = code.count("\n", 0, first) + 1
                name = re.search(r"([\w:~]+|operator\S+)\s*\(", head)
                yield Function(name.group(1), line, code.count("\n", first, end) + 1)
                begin = end + 1


class _Scan:
    """Iterates over the positions of ; { } in order, and can skip a block."""

    def __init__(self, code):
        self._code = code
        self._next = 0

    def __iter__(self):
        while match := re.compile(r"[;{}]").search(self._code, self._next):
            self._next = match.end()
            yield match.start()

    def skip_block(self, place):
        """Returns the position of the brace that closes the one at `place`; resumes there."""
        depth = 0
        for match in re.compile(r"[{}]").finditer(self._code, place):
            depth += 1 if match.group() == "{" else -1
            if depth == 0:
                self._next = match.end()
                return match.start()
        self._next = len(self._code)
        return len(self._code)


def _kind(head):
    """Classifies the brace after `head`: it opens a scope, a function, or a value."""
    plain = re.sub(r"operator\s*\S+?\s*\(", "operator(", head)
    before_parenthesis = plain.split("(")[0]
    if "(" not in plain or "=" in re.sub(r"<.*>", "", before_parenthesis, flags=re.S):
        return "scope" if _SCOPE.search(plain) else "value"
    return "value" if _INITIALISER.search(plain) else "function"
