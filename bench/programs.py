"""Shared code of the comparisons: runs programs whose last line of output is JSON figures."""
import json
import os
import pathlib
import subprocess
import sys

VENV = pathlib.Path("build/peers-venv/bin/python")  # created by bench/peers/setup
CANNOT = 3  # exit code of a peer that cannot run here; its error output states why


class Failed(Exception):
    """A program failed. `code`: its exit code; `words`: the end of its error output."""

    def __init__(self, code, words):
        super().__init__(f"exit code {code}: {words}")
        self.code = code
        self.words = words


def run(command, show=False, env=None):
    """Returns the figures in the last line of a program's output; `show`: prints the others."""
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if ran.returncode:
        raise Failed(ran.returncode, ran.stderr.strip()[-2000:])
    *text, figures = ran.stdout.strip().splitlines()
    if show:
        print("\n".join(text), flush=True)
    return json.loads(figures)


def add_python(parser):
    """Adds the option --python, the interpreter whose PyTorch the peers use."""
    parser.add_argument("--python", type=pathlib.Path, help="Python interpreter with PyTorch",
                        default=VENV if VENV.exists() else sys.executable)


def threads_of(ranks):
    """Returns the number of cores per rank."""
    return max(1, len(os.sched_getaffinity(0)) // ranks)


def launch(ranks):
    """Returns the prefix of a command that runs on `ranks` ranks."""
    return ["mpirun", "-n", str(ranks)] if ranks > 1 else []
