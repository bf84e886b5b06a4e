"""What the comparisons share: running programs whose last line of output is their figures."""
import json
import os
import pathlib
import subprocess
import sys

VENV = pathlib.Path("build/peers-venv/bin/python")  # bench/peers/setup makes it
CANNOT = 3  # how a peer ends that cannot run here; its last words say why


class Failed(Exception):
    """A program that ended with an error; its code and its last words."""

    def __init__(self, code, words):
        super().__init__(f"ended with {code}: {words}")
        self.code = code
        self.words = words


def run(command, show=False, env=None):
    """The figures in the last line of a program's output; `show`: print what stands above."""
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if ran.returncode:
        raise Failed(ran.returncode, ran.stderr.strip()[-2000:])
    *text, figures = ran.stdout.strip().splitlines()
    if show:
        print("\n".join(text), flush=True)
    return json.loads(figures)


def add_python(parser):
    """The option that says whose PyTorch the peers take."""
    parser.add_argument("--python", type=pathlib.Path, help="an interpreter with PyTorch",
                        default=VENV if VENV.exists() else sys.executable)


def threads_of(ranks):
    """The cores of this process, shared out to ranks."""
    return max(1, len(os.sched_getaffinity(0)) // ranks)


def launch(ranks):
    """What stands before a command that runs on so many ranks."""
    return ["mpirun", "-n", str(ranks)] if ranks > 1 else []
