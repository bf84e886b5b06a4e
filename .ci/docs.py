"""Checks the documentation for stale links, paths, and code quoted from files."""
import pathlib
import posixpath
import re
import textwrap

import rooms

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:core|comm|layers|train|tests|bench|configs|docs|\.ci)/[\w./*-]+)`")
_FENCE = re.compile(r"^```(\w*)[ \t]*(\S*)\n(.*?)^```", re.M | re.S)
_PAGE = re.compile(r"(?<![\w/.*-])(\w[\w/-]*\.md)\b(?:, ([A-Z][a-z]+))?")
MAX_LINE = 120
_WORD = re.compile(r"\./dev ([a-z]+(?:-[a-z]+)*)")


def check(files):
    """Yields (file, line, reason) for every problem in Markdown files and every missing page."""
    words = set(re.findall(r"^  ([\w-]+) ", files["dev"], re.M))
    pages = {name: text for name, text in files.items() if name.endswith(".md")}
    everything = "".join(pages.values())
    if rooms.PICTURE in files and files[rooms.PICTURE] != rooms.picture(files):
        yield rooms.PICTURE, 1, "does not show the present includes; run ./dev docs"
    for name, text in files.items():
        if name in pages:
            found = (*_links(name, text, files), *_paths(text, files), *_quotes(text, files),
                     *_words(text, words), *_wrapped(text))
        else:
            found = () if name.startswith(".ci/") else _mentions(text or "", files)
        for place, why in found:
            yield name, (text or "").count("\n", 0, place) + 1, why
        if re.match(r"configs/.*\.yaml$", name) and name not in everything:
            yield name, 1, "not mentioned in any page; document it in docs/"


def _wrapped(text):
    """Prose wraps at 120 columns; tables, code and lines without a space may be longer."""
    prose = _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    place = 0
    for line in prose.splitlines(keepends=True):
        if len(line) > MAX_LINE + 1 and not line.startswith("|") and " " in line.strip():
            yield place, f"{len(line) - 1} columns; prose wraps at {MAX_LINE}"
        place += len(line)


def _anchors(text):
    """Returns the anchors that GitHub generates for headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(name, text, files):
    for match in _LINK.finditer(text):
        target, _, anchor = match.group(1).partition("#")
        if re.match(r"\w+:", target):
            continue
        beside = posixpath.join(posixpath.dirname(name), target)
        path = posixpath.normpath(beside) if target else name
        if path not in files and not pathlib.Path(path).is_dir():
            yield match.start(), f"broken link: {target} does not exist"
        elif anchor and anchor not in _anchors(files[path]):
            yield match.start(), f"broken link: {path} has no heading #{anchor}"


def _paths(text, files):
    for match in _PATH.finditer(text):
        path = re.sub(r"[A-Z]{4,}", "*", match.group(1))  # tests/FLOOR/NAME_test.cpp: any
        if not any(pathlib.PurePath(file).match(path) for file in files) and \
                not pathlib.Path(path).is_dir():
            yield match.start(), f"`{path}` does not exist"


def _words(text, words):
    for match in _WORD.finditer(text):
        if match.group(1) not in words:
            yield match.start(), f"unknown command: {match.group()}"


def _mentions(text, files):
    """Pages, and headings of them ("docs/head.md, Margins"), that code refers to."""
    for match in _PAGE.finditer(text):
        page, heading = match.groups()
        if page not in files:
            yield match.start(), f"{page} does not exist"
        elif heading and not any(name.startswith(heading.lower())
                                 for name in _anchors(files[page])):
            yield match.start(), f"{page} has no heading '{heading}'"


def _quotes(text, files):
    """Checks that C++, YAML and CMake blocks match the file named after the fence's language."""
    for match in _FENCE.finditer(text):
        language, path, body = match.groups()
        if language not in ("cpp", "yaml", "cmake"):
            continue
        if path not in files:
            yield match.start(), f"```{language} must be followed by the file that it quotes"
        elif _flat(body) not in _flat(files[path]):
            yield match.start(), f"this code does not occur in {path}"


def _flat(text):
    """Returns the text without indentation and empty lines."""
    return "\n".join(line.strip() for line in textwrap.dedent(text).splitlines() if line.strip())
