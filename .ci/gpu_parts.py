"""The parts of .ci/gpu, the most valuable first. Each yields its steps, one at a time."""
import json
import math
import pathlib
import shutil
import statistics
import sys
from dataclasses import dataclass

from gpu_machine import BUILD, find_tool
from gpu_report import Skip, Step, Wrong

# NCCL rejects several ranks on one GPU unless each appears to be on its own host.
SHARED_GPU = {"NCCL_NET": "Socket", "NCCL_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1",
              "NCCL_MNNVL_ENABLE": "0", "NCCL_NVLS_ENABLE": "0", "NCCL_RAS_ENABLE": "0",
              "NCCL_ALGO": "Ring", "NCCL_PROTO": "Simple", "NCCL_MAX_CTAS": "1"}
OWN_HOST = ["bash", "-c", 'NCCL_HOSTID=rank$OMPI_COMM_WORLD_RANK exec "$@"', "_"]
SUMMARY = r"assertions|tests? passed|test cases|skipped|[Ff]ailed"
TRAINED = r"top-1|top1|^done|device|1 rank|epoch .*step .*[05]/"
# A name of each library's smoke test, as Catch's command line takes it.
SMOKE = {"device opens": ("tests_core", "device: upload*"),
         "products by cuBLASLt": ("tests_core", "matmul: f32 and bf16 inputs*"),
         "convolutions by cuDNN": ("tests_core", "conv2d: f32 and bf16 inputs*"),
         "collectives by NCCL, one rank": ("tests_ranks", "communicator: all ranks*")}
# Ranks that share a GPU take turns: milliseconds per collective, a second per communicator.
SHARED_RANKS = ("communicator: all ranks*", "gradient buckets: any bucket size*",
                "sharded head: softmax on several ranks*", "training: any number of ranks*")
# Tests of our own kernels; in libraries, compute-sanitizer is slow, and reports reads of theirs.
KERNELS = ("elementwise", "softmax", "norm", "pool", "update", "squares", "top_k", "random",
           "rounding", "margin", "math")
# Settings of an experiment on the stand-in.
SMALL = ["run.steps=6", "schedule.warmup_steps=2", "model.width=8", "model.features=16",
         "data.global_batch_size=16"]
SAME = 1e-6  # largest relative difference of losses that should be the same bits
ACCURACY = 0.95  # top-1 of configs/glyphs.yaml in its first held-out font: 0.97 on CPUs


@dataclass
class Machine:
    gpus: int
    hurried: bool  # the run's time is limited
    stand_in: bool  # programs with the stand-in for CUDA: small sizes, no speed
    work: pathlib.Path  # for files that are not kept

    def pick(self, real, small):
        return small if self.stand_in else real

    def mpirun(self, ranks, program, *arguments):
        """Returns the command and its environment. Ranks share a GPU if there are too few."""
        words = ["mpirun", "-n", ranks]
        if ranks <= self.gpus:
            return [*words, program, *arguments], {}
        return [*words, *OWN_HOST, program, *arguments], SHARED_GPU


def build(m):
    yield Step("configure", ["cmake", "--preset", "gpu"], 600, keep="CUDA|without")
    yield Step("build", ["cmake", "--build", BUILD, "--parallel"], 3000, keep="warning|error")


def tests_ran(output):
    """Catch ends well if no test has the name or tag."""
    if "No tests ran" in output:
        raise Wrong("no tests ran")


def smoke(m):
    for title, (program, name) in SMOKE.items():
        yield Step(title, [BUILD / "tests" / program, "--device", "cuda", name], 20, keep=SUMMARY,
                   env={"OMP_NUM_THREADS": "4"}, judge=tests_ran,
                   essential=title == "device opens")
    yield Step("step as a CUDA graph", train(m, "configs/forum_1m.yaml", "smoke", [
        "data.classes=1000", "run.steps=8", "run.cuda_graph=on", "data.global_batch_size=8"]), 20,
               keep=TRAINED)


def tests(m):
    # Plans of the real cuDNN, which needs no GPU for them, are tagged [cuda].
    here = m.pick("~[cpu]", "~[cpu]~[cuda]")
    for floor, some, seconds in (("core", here, 60), ("layers", here, 50),
                                 ("train", "[devices]", 30)):
        yield Step(f"tests_{floor}", [BUILD / f"tests/tests_{floor}", "--device", "cuda",
                                      "--durations", "yes", some], seconds,
                   keep=SUMMARY, env={"OMP_NUM_THREADS": "4"}, judge=tests_ran)


def ranks(m):
    if not shutil.which("mpirun"):
        yield Skip("tests_ranks", "mpirun is not installed")
        return
    for number in (1, 2) if m.hurried else (1, 2, 4):
        some = [",".join(SHARED_RANKS)] if m.hurried and number > max(1, m.gpus) else []
        command, env = m.mpirun(number, BUILD / "tests/tests_ranks", "--device", "cuda",
                                "--durations", "yes", *some)
        shared = ", sharing a GPU" if env else ""
        yield Step(f"tests_ranks over NCCL, {number} ranks{shared}", command, 60, keep=SUMMARY,
                   env={"OMP_NUM_THREADS": "2", **env}, judge=tests_ran)


def train(m, config, name, settings):
    return [BUILD / "colonnade", "train", config, f"run.out={m.work / name}", "device=cuda",
            "--overwrite", *settings]


def graph(m):
    """Replayed and eager steps: under run.deterministic their losses have the same bits."""
    cases = m.pick([("configs/forum_1m.yaml", []),
                    ("configs/iresnet50.yaml", ["data.global_batch_size=64"])],
                   [("configs/forum_1m.yaml", ["data.classes=500", "data.global_batch_size=8"]),
                    ("configs/iresnet50.yaml", [
                        "data.global_batch_size=8", "data.height=16", "data.width=16",
                        "data.classes=100", "model.trunk=small", "model.width=8",
                        "model.features=16"])])
    for config, settings in cases:
        settings = [f"run.steps={m.pick(24, 6)}", "schedule.warmup_steps=2", "run.log_every=1",
                    "run.eval_every_epochs=0", "run.deterministic=true", *settings]
        eager, replayed = (f"{pathlib.Path(config).stem}-{kind}" for kind in ("off", "on"))
        yield Step(f"{config}, eager", train(m, config, eager, [*settings, "run.cuda_graph=off"]),
                   20, keep=r"^done|1 rank", judge=lambda _: speed(m.work / eager))
        yield Step(f"{config}, as a graph",
                   train(m, config, replayed, [*settings, "run.cuda_graph=on"]), 20,
                   keep=r"^done|1 rank",
                   judge=lambda _: compared(m.work / eager, m.work / replayed))


def speed(folder):
    return {"samples_per_s": statistics.median(s["samples_per_s"] for s in steps_of(folder))}


def compared(eager, replayed):
    """Returns the speed of replayed steps, and how far their losses are from the eager ones'."""
    apart = difference(steps_of(eager), steps_of(replayed))
    if not apart <= SAME:
        raise Wrong(f"losses differ by {apart:.1e} from those of eager steps")
    return {**speed(replayed), "difference": apart}


def steps_of(folder):
    """Returns the lines of a run's metrics.jsonl about training steps."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "train"]


def difference(a, b):
    """Returns the largest relative difference of two runs' losses; NaN if one is."""
    if len(a) != len(b) or not a:
        raise Wrong(f"{len(b)} steps were logged, {len(a)} in the run to compare with")
    apart = [abs(x["loss"] - y["loss"]) / abs(x["loss"]) for x, y in zip(a, b)]
    return max(apart, key=lambda d: (math.isnan(d), d))


def sweep(m):
    sizes = m.pick(["--classes", "1000000", "--features", "512", "--batch", "1024", "--steps",
                    "10", "--warm-up", "5", "--precision", "bf16"],
                   ["--classes", "400", "--features", "16", "--batch", "8", "--steps", "2"])
    for chunk in m.pick((4096, 16384, 32768, 65536), (128,)):
        for logits in ("store", "recompute"):
            yield Step(f"head.chunk={chunk} head.logits={logits}",
                       [BUILD / "colonnade", "bench", "head", "--device", "cuda", *sizes,
                        f"head.chunk={chunk}", f"head.logits={logits}"],
                       m.pick(15, 40), keep=r"ms per step|^matrix products|^fraction")


def head(m):
    sizes = m.pick(["--classes", "1000000", "--batch", "1024", "--precision", "bf16", "--steps",
                    "10"], ["--classes", "400", "--features", "16", "--batch", "8",
                            "--steps", "2"])
    rounds = ["--rounds", "1" if m.hurried else "3"]
    peers = ["--peers", "plain", "compiled", "partial_fc"] if m.hurried else []
    yield Step("head compared with PyTorch",
               [sys.executable, "bench/compare_head.py", "--build", BUILD, "--device", "cuda",
                *sizes, *rounds, *peers], 110, least=30, keep=r"\S")


def step(m):
    if not (BUILD / "bench/step").is_file():
        yield Skip("step", "bench/step is not built")
        return
    # The stand-in has no program of it: the script is tried on the CPU.
    cases = m.pick([("configs/resnet50.yaml", []), ("configs/iresnet50.yaml", [])],
                   [("configs/forum_1m.yaml", ["device=cpu", "data.classes=1000"])])
    for config, settings in cases:
        yield Step(f"step of {config} compared with PyTorch",
                   [sys.executable, "bench/compare.py", "--build", BUILD, "--rounds",
                    "1" if m.hurried else "3", config, *settings], 75, least=20, keep=r"\S")


def glyphs(m):
    settings = m.pick(["data.workers=12"], ["data.glyphs.classes=40", *SMALL])
    judge = m.pick(lambda _: accuracy(m.work / "glyphs"), None)
    yield Step("configs/glyphs.yaml", train(m, "configs/glyphs.yaml", "glyphs", settings), 45,
               least=20, keep=TRAINED, judge=judge)


def accuracy(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    found = {line["split"]: line["top1"] for line in lines if line["kind"] == "eval"}
    if not found or max(found.values()) < ACCURACY:
        raise Wrong(f"top-1 {found}; {ACCURACY} was expected in one of the fonts")
    return {"top1": found}


def sanitizer(m):
    tool = find_tool("compute-sanitizer")
    if not tool or m.stand_in:
        yield Skip("compute-sanitizer", m.pick("not installed; it is part of the CUDA toolkit",
                                               "no GPU code runs on the stand-in"))
        return
    some = ",".join(f"[{tag}]~[cpu]~[cuda]" for tag in KERNELS)
    checks = ("memcheck", "racecheck", "initcheck", "synccheck")
    for check in checks[:2] if m.hurried else checks:
        yield Step(f"compute-sanitizer {check} on our kernels",
                   [tool, "--tool", check, "--error-exitcode", "9", BUILD / "tests/tests_core",
                    "--device", "cuda", some], 60, keep="ERROR SUMMARY|RACECHECK|" + SUMMARY)


def words(m):
    settings = m.pick(["data.workers=12"],
                      ["data.words.classes=60", "data.words.eval_samples=20", *SMALL])
    yield Step("configs/words_100k.yaml", train(m, "configs/words_100k.yaml", "words", settings),
               60, least=20, keep=TRAINED)


def bench(m):
    for name in ("kernels", "conv"):
        program = BUILD / "bench" / name
        if m.stand_in or not program.is_file():
            yield Skip(name, m.pick(f"{program} is not built", "no speed on the stand-in"))
        else:
            yield Step(name, [program], 30)


# Seconds of each part when the run's time is limited; otherwise ten times as many.
PARTS = {build: 360, smoke: 60, tests: 120, ranks: 100, graph: 60, sweep: 80, head: 110, step: 130,
         glyphs: 45, sanitizer: 60, words: 60, bench: 45}
