"""What .ci/gpu finds on its machine: programs, libraries, GPUs, and what they are."""
import contextlib
import datetime
import glob
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import site
import subprocess
import sys

BUILD = pathlib.Path("build/gpu")
KIT = BUILD / "kit.json"  # in a kit: how it was made
# The libraries of NVIDIA that programs need, and a kit does not have.
NVIDIA = ("libcudart.so.13", "libcublasLt.so.13", "libcudnn.so.9", "libnccl.so.2")
PROGRAMS = ("colonnade", "tests/tests_core", "tests/tests_layers", "tests/tests_train",
            "tests/tests_ranks", "bench/step", "bench/kernels", "bench/conv")
SOURCES = ("core", "comm", "layers", "train", "tests", "bench")


def text_of(command):
    """Returns a command's output; "" if it is not installed or fails."""
    try:
        ran = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                             timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def gpus():
    """Returns a line per GPU: name, memory and driver."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version",
             "--format=csv,noheader"]
    return text_of(query).splitlines()


def kit():
    """Returns how the kit in this folder was made; {} in a checkout."""
    return json.loads(KIT.read_text()) if KIT.is_file() else {}


def find_tool(name):
    """Returns the path of a program of the CUDA toolkit; None if it is not installed."""
    return shutil.which(name) or next(
        (path for folder in ("/usr/local/cuda/bin", *_wheels("bin"))
         if os.access(path := f"{folder}/{name}", os.X_OK)), None)


def _wheels(kind):
    """Returns folders of NVIDIA's Python packages: site-packages/nvidia/*/lib and others."""
    places = dict.fromkeys([*sys.path, *site.getsitepackages(), site.getusersitepackages()])
    return [folder for place in places if place
            for folder in sorted(glob.glob(f"{place}/nvidia/*/{kind}"))]


def nvidia_folders():
    """Returns the folders with NVIDIA's libraries; those of PyTorch, which uses the same, first."""
    folders = [*_wheels("lib"), *sorted(glob.glob("/usr/local/cuda*/lib64"), reverse=True)]
    found = [next((folder for folder in folders if os.path.exists(f"{folder}/{name}")), None)
             for name in NVIDIA]
    return [folder for folder in dict.fromkeys(found) if folder]


def prepare():
    """Sets the environment of programs: that of Open MPI, and in a kit the places of libraries."""
    for line in pathlib.Path(".ci/mpi.env").read_text().splitlines():
        if setting := re.fullmatch(r"export (\w+)=(\S+)", line):
            os.environ.setdefault(*setting.groups())
    if not KIT.is_file():
        return
    mpi = (BUILD / "openmpi").resolve()
    os.environ.update(
        OPAL_PREFIX=f"{mpi}", OPAL_BINDIR=f"{mpi}/bin", OPAL_LIBDIR=f"{mpi}/lib",
        OPAL_PKGLIBDIR=f"{mpi}/lib/openmpi3", OPAL_DATADIR=f"{mpi}/share",
        OPAL_PKGDATADIR=f"{mpi}/share/openmpi", OPAL_SYSCONFDIR=f"{mpi}/etc",
        OMPI_MCA_plm="isolated",  # this host alone; other launchers require ssh
        PMIX_INSTALL_PREFIX=f"{mpi}/pmix", PMIX_MCA_pcompress_base_silence_warning="1",
        OMPI_MCA_mca_base_component_show_load_errors="0")
    _prepend("PATH", [f"{mpi}/bin"])
    _prepend("LD_LIBRARY_PATH", nvidia_folders())


def _prepend(name, folders):
    before = os.environ.get(name)
    os.environ[name] = ":".join([*folders, *([before] if before else [])])


def libraries():
    """Returns, by name, where the libraries of all programs are found; "" where they are not."""
    found = {}
    for program in PROGRAMS:
        if (BUILD / program).is_file():
            # The loader lists them instead of starting the program.
            listed = text_of(["env", "LD_TRACE_LOADED_OBJECTS=1", BUILD / program])
            for name, path in re.findall(r"^\s*(\S+) => (/\S+|not found)", listed, re.M):
                found[name] = path if path.startswith("/") else ""
    return found


def facts():
    """Returns what identifies a run: date, GPUs, commit, compiler and PyTorch."""
    made = kit()
    nvcc = re.search(r"release [\d.]+, V([\d.]+)", text_of(["nvcc", "--version"]))
    torch = "none"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        torch = importlib.metadata.version("torch")  # without importing it, which takes seconds
    return {"date": str(datetime.date.today()), "gpus": gpus(), "cores": os.cpu_count(),
            "commit": made.get("commit") or commit(),
            "nvcc": made.get("nvcc") or (nvcc.group(1) if nvcc else "unknown"),
            "torch": torch, "kit": made}


def commit():
    """Returns the short name of the commit, and whether the sources differ from it."""
    changed = text_of(["git", "status", "--porcelain", "--", *SOURCES])
    name = text_of(["git", "rev-parse", "--short", "HEAD"]) or "unknown"
    return name + (" with changes" if changed else "")
