"""Packs what .ci/gpu needs on a GPU machine without a network into one file: `./dev gpu-kit`.

    .ci/gpu_kit.py [--to FILE] [--build FOLDER] [--stand-in]

The machine has NVIDIA's driver and libraries, Python with PyTorch, and glibc at least as new as the
symbols that the programs use. Everything else comes along: the programs, all other shared
libraries (libstdc++ too, since the machine's may be older), Open MPI, fonts, word lists, and the
scripts. Each file finds the libraries by a path relative to itself (DT_RPATH), not by
LD_LIBRARY_PATH, which would also change PyTorch's, and may name another Open MPI.

--stand-in packs the programs that are linked with the stand-in for CUDA (docs/testing.md) under
the names of the real ones: for a dry run of everything but the GPU.
"""
import argparse
import datetime
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
from gpu_machine import BUILD, KIT, NVIDIA, PROGRAMS, commit, text_of  # noqa: E402

MAX_BYTES = 60 << 20
SCRIPTS = (".ci/gpu", ".ci/gpu_machine.py", ".ci/gpu_parts.py", ".ci/gpu_report.py", ".ci/mpi.env",
           "bench/compare.py", "bench/compare_head.py", "bench/programs.py", "bench/peers/head.py",
           "bench/peers/step.py", "tests/parity/safetensors.py")
CONFIGS = ("glyphs", "words_100k", "forum_1m", "resnet50", "iresnet50")
GLIBC = re.compile(r"(linux-vdso|/lib64/ld-linux|lib(c|m|dl|pthread|rt|util|resolv|anl)\.so)")
# Open MPI's modules for hardware and schedulers that a borrowed machine does not have.
LEFT_OUT = re.compile(r"psm|ucx|ofi|usnic|openib|spml|scoll|sshmem|memheap|atomic|netlink|"
                      r"monitoring|sharedfp|munge|slurm|_tm\.|alps|lsf")
FONT = re.compile(r"path: (\S+\.(?:ttf|ttc|otf))(?:, index: (\d+))?")
SMALL_FONT = 2 << 20  # bytes up to which a font is packed whole
GLYPHS = range(0x4E00, 0x4E00 + 6000)  # more than configs/glyphs.yaml takes its 5000 classes from


def built(build, stand_in):
    """Yields the place in the kit and the file of each program."""
    for program in PROGRAMS:
        file = build / program
        if stand_in and not program.startswith("bench/"):
            file = build / "tests" / f"{file.name}_faked"
        yield program, file


def compile_all(build, stand_in):
    """Builds the programs for many processors and GPUs: the preset of the folder's name."""
    targets = [f"bench_{file.name}" if program.startswith("bench/") else file.name
               for program, file in built(build, stand_in)]
    subprocess.run(["cmake", "--preset", build.name, "--log-level=WARNING"], check=True)
    subprocess.run(["cmake", "--build", build, "--target", *targets], check=True)


def needed(file):
    """Returns the paths, by name, of the libraries that a program or library loads, except those
    of the machine: glibc's and NVIDIA's."""
    listed = subprocess.run(["ldd", file], capture_output=True, text=True).stdout
    found = dict(re.findall(r"^\s*(\S+) => (/\S+|not found)", listed, re.M))
    found = {name: path for name, path in found.items()
             if not GLIBC.match(name) and name not in NVIDIA}
    if missing := [name for name, path in found.items() if path == "not found"]:
        raise SystemExit(f"gpu-kit: {file}: not found: {', '.join(missing)}")
    return found


def put(file, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, to)
    return to


def put_binary(file, kit, place, libraries):
    """Copies a program or library without symbols to a place in BUILD, and adds what it loads to
    `libraries`."""
    to = put(file, kit / BUILD / place)
    to.chmod(0o755)
    subprocess.run(["strip", to], check=True)
    path = os.path.relpath(BUILD / "lib", (BUILD / place).parent)
    subprocess.run(["patchelf", "--force-rpath", "--set-rpath", f"$ORIGIN/{path}", to], check=True)
    libraries.update(needed(file))


def put_programs(build, kit, stand_in, libraries):
    for program, file in built(build, stand_in):
        put_binary(file, kit, program, libraries)


def put_mpi(kit, libraries):
    """Copies Open MPI, with the modules that it loads by name, and those of PMIx."""
    def place(key):
        return pathlib.Path(text_of(["ompi_info", "--parsable", "--path", key]).split(":")[-1])
    for name, program in (("mpirun", "orterun"), ("orted", "orted")):
        put_binary(place("bindir") / program, kit, f"openmpi/bin/{name}", libraries)
    for module in place("pkglibdir").glob("mca_*.so"):
        if not LEFT_OUT.search(module.name):
            put_binary(module, kit, f"openmpi/lib/openmpi3/{module.name}", libraries)
    for module in pathlib.Path(libraries["libpmix.so.2"]).resolve().parent.glob("pmix/*.so"):
        if not LEFT_OUT.search(module.name):
            put_binary(module, kit, f"openmpi/pmix/lib/pmix/{module.name}", libraries)
    mpi = kit / BUILD / "openmpi"
    for text in place("pkgdatadir").glob("help-*.txt"):
        put(text, mpi / "share/openmpi" / text.name)
    put(place("sysconfdir") / "openmpi-mca-params.conf", mpi / "etc/openmpi-mca-params.conf")


def put_libraries(kit, libraries):
    for name, path in libraries.items():
        put_binary(path, kit, f"lib/{name}", {})


def put_font(name, index, kit):
    """Copies a font, a large one without the glyphs that no experiment of the kit renders. Returns
    its path in the kit."""
    file = min(pathlib.Path("/usr/share/fonts").rglob(name))
    if index is None and file.stat().st_size <= SMALL_FONT:
        return put(file, kit / "fonts" / name).relative_to(kit)
    from fontTools import subset  # a package of Debian's Python
    options = subset.Options(font_number=int(index or 0), layout_features=[], name_IDs=[],
                             hinting=False, notdef_outline=True)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "BASE", "vhea", "vmtx", "VORG", "FFTM"]
    font = subset.load_font(file, options)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=GLYPHS)
    cut.subset(font)
    to = kit / "fonts" / f"{file.stem}-{index or 0}.ttf"
    to.parent.mkdir(parents=True, exist_ok=True)
    subset.save_font(font, to, options)
    return to.relative_to(kit)


def put_configs(kit):
    """Copies experiments, with their fonts and word lists beside them."""
    def font(match):
        return f"path: {put_font(*match.groups(), kit)}"

    def words(match):
        list_ = put(f"/usr/share/dict/{match.group(1)}", kit / "words" / match.group(1))
        return f"lists: [{list_.relative_to(kit)}]"
    for name in CONFIGS:
        config = pathlib.Path(f"configs/{name}.yaml")
        text = re.sub(r"lists: \[([\w-]+)\]", words, FONT.sub(font, config.read_text()))
        put(config, kit / config).write_text(text)


def put_facts(build, kit, stand_in):
    """Writes how the kit was made into it: kit.json."""
    cache = dict(re.findall(r"^(\w+):\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.M))
    symbols = [tuple(map(int, version)) for file in (kit / BUILD).rglob("*") if file.is_file()
               for version in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", file.read_bytes())]
    nvcc = re.search(r"release [\d.]+, V([\d.]+)", text_of([cache["COLONNADE_NVCC"], "--version"]))
    facts = {"commit": commit(), "date": str(datetime.date.today()), "stand_in": stand_in,
             "arch": f"{cache['COLONNADE_ARCH']} and CUDA {cache['CMAKE_CUDA_ARCHITECTURES']}",
             "nvcc": nvcc.group(1), "glibc": ".".join(map(str, max(symbols)))}
    (kit / KIT).write_text(json.dumps(facts) + "\n")
    return facts


def pack(kit, to):
    """Writes the folder as a tar file. xz, since Python's library reads it everywhere; the long
    dictionary finds what the programs have in common."""
    filters = [{"id": lzma.FILTER_X86},
               {"id": lzma.FILTER_LZMA2, "preset": 3, "dict_size": 1 << 27}]
    with lzma.open(to, "wb", filters=filters) as xz, tarfile.open(fileobj=xz, mode="w") as file:
        for entry in sorted(os.listdir(kit)):
            file.add(kit / entry, entry)


def sizes(kit):
    """Returns MB by the kind of content."""
    folders = (BUILD, BUILD / "lib", BUILD / "openmpi", "fonts", "words")
    return ", ".join(f"{folder} {1e-6 * sum(f.stat().st_size for f in files):.1f}"
                     for folder in folders
                     for files in [[f for f in (kit / folder).rglob("*") if f.is_file()]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("build/gpu-kit.tar.xz"))
    parser.add_argument("--build", type=pathlib.Path, metavar="FOLDER",
                        help="pack the programs of this build; default: build build/gpu-kit")
    parser.add_argument("--stand-in", action="store_true",
                        help="programs with the stand-in for CUDA: a dry run")
    a = parser.parse_args()
    build = a.build or pathlib.Path("build/gpu-kit")
    if not a.build:
        compile_all(build, a.stand_in)
    kit = a.to.with_name(a.to.name.removesuffix(".tar.xz") + ".folder")
    shutil.rmtree(kit, ignore_errors=True)
    libraries = {}
    put_programs(build, kit, a.stand_in, libraries)
    put_mpi(kit, libraries)
    put_libraries(kit, libraries)
    put_configs(kit)
    for script in SCRIPTS:
        put(script, kit / script)
    facts = put_facts(build, kit, a.stand_in)
    print(f"gpu-kit: {facts}; MB: {sizes(kit)}", flush=True)
    pack(kit, a.to)
    print(f"gpu-kit: {a.to}: {a.to.stat().st_size / (1 << 20):.1f} MiB", flush=True)
    if a.to.stat().st_size > MAX_BYTES:
        raise SystemExit(f"gpu-kit: larger than {MAX_BYTES >> 20} MiB")


if __name__ == "__main__":
    main()
