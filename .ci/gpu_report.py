"""Runs the steps of .ci/gpu within their time, and records each result as soon as it is known."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field

GRACE = 5  # seconds between the request to end and the kill
MAX_LINES = 40  # of a step's output in the entry
MAX_LOG = 200_000  # characters of a step's output in the log
DURATION = re.compile(r"(rank \d+: )?\d+\.\d+ s: ")  # Catch's: for the log alone
NO_GPU = 77  # exit code of test programs without a GPU: tests/support/device.h
NO_LIBRARY = 127  # exit code of a program whose libraries are not found


class Wrong(Exception):
    """A step ran, but its results are wrong."""


@dataclass
class Step:
    """A command and what is expected of it."""
    title: str
    command: list
    seconds: int  # limit when time is short
    least: int = 5  # seconds below which it is not started
    env: dict = field(default_factory=dict)
    keep: str = r"."  # lines of the output that go into the entry, if it passes
    judge: object = None  # called with the output; returns figures, or raises Wrong
    essential: bool = False  # nothing else runs if it ends with NO_GPU or NO_LIBRARY


@dataclass
class Skip:
    """A step that cannot run here."""
    title: str
    why: str


@dataclass
class Result:
    part: str
    title: str
    verdict: str  # passed, FAILED or NOT RUN
    why: str = ""
    seconds: float = 0
    limit: float = 0
    shortened: bool = False  # less time than planned was left
    command: str = ""
    lines: list = field(default_factory=list)
    figures: dict = field(default_factory=dict)


class Clock:
    """The time of a run. `minutes`: its length from `start` on; None: unlimited."""

    def __init__(self, minutes=None, start=None, now=time.monotonic):
        self._now = now
        self._end = None
        if minutes is not None:
            self._end = (now() if start is None else start) + 60 * minutes - 2 * GRACE

    def now(self):
        return self._now()

    def left(self):
        """Returns seconds; infinite if the run is unlimited."""
        return float("inf") if self._end is None else self._end - self._now()


class Report:
    """The results so far, in a folder: entry.md, results.jsonl and log.txt.

    Each is complete after every step, so that a run that is killed leaves what it had done.
    `page`: also called with the entry's text after every step.
    """

    def __init__(self, folder, head, facts, page=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.head, self.page = head, page
        self.results = []
        self.closing = ""
        (self.folder / "log.txt").write_text("")
        (self.folder / "results.jsonl").write_text(json.dumps({"kind": "run", **facts}) + "\n")
        self._write_entry()

    def add(self, result, output=""):
        self.results.append(result)
        _append(self.folder / "results.jsonl", json.dumps({"kind": "step", **asdict(result)}))
        _append(self.folder / "log.txt",
                f"== {result.part}: {result.title}: {result.verdict} {result.why}\n"
                f"$ {result.command}\n{output[-MAX_LOG:]}\n")
        self._write_entry()

    def close(self, words):
        """Adds the last line of the entry: how the run ended."""
        self.closing = words
        _append(self.folder / "results.jsonl", json.dumps({"kind": "end", "text": words}))
        self._write_entry()

    def count(self, verdict):
        return sum(result.verdict == verdict for result in self.results)

    def text(self):
        lines = list(self.head)
        for part in dict.fromkeys(r.part for r in self.results):
            lines += [f"### {part}", ""]
            for result in self.results:
                if result.part == part:
                    lines += _item(result)
        return "\n".join(lines + ([self.closing, ""] if self.closing else [])) + "\n"

    def _write_entry(self):
        _replace(self.folder / "entry.md", self.text())
        if self.page:
            self.page(self.text())


def _item(result):
    """Returns a result's lines of the entry."""
    if result.verdict == "NOT RUN":
        return [f"- {result.title}: NOT RUN: {result.why}", ""]
    why = f" ({result.why})" if result.why else ""
    limit = f", shortened to {result.limit:.0f} s" if result.shortened else ""
    item = [f"- {result.title}: {result.verdict}{why}, {result.seconds:.1f} s{limit}", ""]
    if result.lines:
        item += ["  ```text", *[f"  {line}".rstrip() for line in result.lines], "  ```", ""]
    return item


def _append(path, text):
    with open(path, "a") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _replace(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


class Runner:
    """Runs parts in order. `patience`: factor of every limit when the run's time is unlimited."""

    def __init__(self, clock, report, patience=10):
        self.clock, self.report = clock, report
        self.patience = patience if clock.left() == float("inf") else 1

    def part(self, name, seconds, steps):
        """Runs a part's steps within `seconds`. Returns False if nothing else can run."""
        end = self.clock.now() + self.patience * seconds
        try:
            for step in steps:
                if not self._step(name, step, end):
                    return False
        except Exception as error:  # a mistake in one part must not cost the others
            self.report.add(Result(name, "the part itself", "FAILED",
                                   f"{type(error).__name__}: {error}"))
        return True

    def skip(self, name, why):
        self.report.add(Result(name, "all", "NOT RUN", why))

    def _step(self, name, step, end):
        if isinstance(step, Skip):
            self._left_out(name, step.title, step.why)
            return True
        left = min(end - self.clock.now(), self.clock.left())
        planned = self.patience * step.seconds
        if left < step.least:
            self._left_out(name, step.title,
                           f"{max(0, left):.0f} s left, at least {step.least} s needed")
            return True
        limit = min(planned, left)
        print(f"\n== {name}: {step.title} (at most {limit:.0f} s)", flush=True)
        result, output, code = self._result(name, step, limit)
        result.shortened = limit < planned
        print("\n".join(result.lines), flush=True)
        print(f"== {step.title}: {result.verdict} {result.why} {result.seconds:.1f} s", flush=True)
        self.report.add(result, output)
        return not (step.essential and code in (NO_GPU, NO_LIBRARY))

    def _left_out(self, name, title, why):
        print(f"\n== {name}: {title}: NOT RUN: {why}", flush=True)
        self.report.add(Result(name, title, "NOT RUN", why))

    def _result(self, name, step, limit):
        start = time.monotonic()
        code, output = execute(step.command, limit, step.env)
        seconds = time.monotonic() - start
        plain = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
                 if not DURATION.match(line)]
        result = Result(name, step.title, "passed" if code == 0 else "FAILED",
                        "" if code == 0 else why(code), seconds, limit,
                        command=" ".join(map(str, step.command)),
                        lines=[*plain[-MAX_LINES:]], figures=figures(plain))
        if code == NO_GPU:
            result.verdict = "NOT RUN"
            result.why = plain[-1] if plain else "no GPU"
        if code == 0:
            result.lines = [line for line in plain if re.search(step.keep, line)][-MAX_LINES:]
            try:
                result.figures.update(step.judge(output) or {} if step.judge else {})
            except Wrong as wrong:
                result.verdict, result.why = "FAILED", str(wrong)
            except Exception as error:  # of files that are not as expected
                result.verdict, result.why = "FAILED", f"{type(error).__name__}: {error}"
        return result, output, code


def why(code):
    """Describes an exit code, or what else execute() returned."""
    if isinstance(code, int):
        return f"exit code {code}" if code >= 0 else f"signal {-code}"
    return code


def figures(lines):
    """Returns the figures in the last line of an output, which programs print as JSON."""
    with contextlib.suppress(IndexError, ValueError):
        found = json.loads(lines[-1])
        if isinstance(found, dict):
            return found
    return {}


def execute(command, seconds, env):
    """Runs a command in a session of its own, and ends what it leaves running. Returns its exit
    code, or in words why there is none, and its output, even if it was stopped."""
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=subprocess.STDOUT,
                                       start_new_session=True, env={**os.environ, **env})
        except OSError as error:
            return str(error), ""
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = f"timeout after {seconds:.0f} s"
        finally:
            end(process)
        log.seek(0)
        return code, log.read().decode(errors="replace")


def end(process):
    """Ends a process and its session: ranks are not in mpirun's process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE
        for pid in session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while session(process.pid) and time.monotonic() < until:
            process.poll()
            time.sleep(0.05)
    process.poll()


def session(leader):
    """Returns the processes of a session, without those that have ended."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found
