#!/usr/bin/env python3
"""Compares Colonnade's classification head with implementations in PyTorch, over three rounds.

    python3 bench/compare_head.py --ranks 2 --classes 1000000 --batch 512 --precision bf16
    python3 bench/compare_head.py --peers loss_parallel partial_fc

First, every program takes three steps of a small problem. If losses, gradient or weights differ,
the comparison stops, because a ratio would be meaningless. Then the programs are timed in turn,
round by round, on the same cores or GPUs: distributed peers on the same number of ranks, the others
in one process with all cores. The peers are in bench/peers/head.py; a peer with `:bf16` keeps
weights and momentum in bf16.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

from programs import CANNOT, Failed, add_python, launch, run, threads_of

PEER = pathlib.Path(__file__).parent / "peers" / "head.py"
ON_RANKS = ("loss_parallel", "partial_fc")
PEERS = [*ON_RANKS, "plain", "compiled", "cce", "liger", "quack"]
ROUNDS = 3
# Classes that no number of ranks divides. The learning rate is 1, so that differences show.
SMALL = ["--classes", "1003", "--features", "32", "--batch", "24", "--steps", "3"]
# Relative tolerances: of f32 sums, or of bf16 products. The row of a class without samples changes
# by less than bf16 weights can represent, so for bf16 weights only all rows together are checked.
LIMITS = {"f32": {"losses": 1e-5, "dx": 1e-5, "weights": 1e-5, "rows": 1e-5},
          "bf16": {"losses": 1e-2, "dx": 1e-2, "weights": 1e-2, "rows": 1e-2},
          "bf16 weights": {"losses": 1e-2, "dx": 1e-2, "weights": 1e-2}}


class Ours:
    name = "colonnade"

    def __init__(self, a):
        self.a = a

    def run(self, *words):
        a = self.a
        return run([*launch(a.ranks), a.build / "colonnade", "bench", "head", "--precision",
                    a.precision, "--device", a.device, "--threads", str(threads_of(a.ranks)),
                    *words])

    def timed(self):
        a = self.a
        return self.run(*sizes(a), *a.settings)


class Peer:
    def __init__(self, a, name):
        self.a, self.name = a, name
        self.kind, _, self.weights = name.partition(":")
        self.ranks = a.ranks if self.kind in ON_RANKS else 1

    def run(self, *words):
        a, threads = self.a, str(threads_of(self.ranks))
        narrow = ["--bf16-weights"] if self.weights == "bf16" else []
        return run([*launch(self.ranks), a.python, PEER, self.kind, "--precision", a.precision,
                    "--device", a.device, "--threads", threads, *narrow, *words],
                   env={"OMP_NUM_THREADS": threads})

    def timed(self):
        return self.run(*sizes(self.a))

    def check(self, file):
        """Raises Failed unless the peer reproduces the results in the file."""
        found = self.run("--check", file, "--lr", "1")
        limits = LIMITS["bf16 weights" if self.weights else self.a.precision]
        far = [f"{key} differ by {found[key]:.1e}; the limit is {limit:.0e}"
               for key, limit in limits.items() if not found[key] <= limit]
        if far:
            raise Failed(1, "; ".join(far))
        print(f"{self.name:20} agrees: " + ", ".join(f"{k} {found[k]:.1e}" for k in limits),
              flush=True)


def sizes(a):
    return [word for key in ("classes", "features", "batch", "steps", "seed")
            for word in (f"--{key}", str(getattr(a, key)))]


def agreeing(a, ours):
    """Returns the peers that run here and agree with ours. Raises Failed if a peer disagrees."""
    able, left_out = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/check.safetensors"
        a.device = ours.run(*SMALL, "--check", file, "optimizer.lr=1", *a.settings)["device"]
        for name in a.peers:
            peer = Peer(a, name)
            try:
                peer.check(file)
                able.append(peer)
            except Failed as failed:
                if failed.code != CANNOT:
                    raise Failed(failed.code, f"{name}: {failed.words}") from failed
                left_out.append((name, why(failed)))
    return able, left_out


def why(failed):
    """Returns the first line of the peer's error output that is not the launcher's."""
    return next(line for line in failed.words.splitlines() if line and not line.startswith("---"))


def summary(figures):
    """Returns medians over the rounds: ms per step, MB of the largest rank and of all ranks."""
    def middle(key):
        return statistics.median(f[key] for f in figures)
    cuda = figures[0]["device"] == "cuda"
    keys = ("peak_bytes", "all_peak_bytes") if cuda else ("process_bytes", "all_process_bytes")
    return {"ms": middle("ms_a_step"), **{name: 1e-6 * middle(key)
                                          for name, key in zip(("rank", "all"), keys)}}


def table(rounds, left_out):
    print(f"{'median of rounds':20}{'ranks':>6}{'ms/step':>10}{'MB/rank':>10}{'MB total':>10}"
          f"{'time':>8}{'memory':>8}   ms/step of each round")
    mine = summary(rounds["colonnade"])
    for name, figures in rounds.items():
        s = summary(figures)
        times = " ".join(f"{f['ms_a_step']:.1f}" for f in figures)
        print(f"{name:20}{figures[0]['ranks']:6}{s['ms']:10.1f}{s['rank']:10.1f}{s['all']:10.1f}"
              f"{mine['ms'] / s['ms']:8.3f}{mine['all'] / s['all']:8.3f}   {times}")
    print("time, memory: ratio Colonnade / peer; below 1, Colonnade uses less. Memory is the peak\n"
          "increase of the processes during the steps; on a GPU, the peak memory of tensors. Its\n"
          "ratio is of all ranks together.")
    for name, reason in left_out:
        print(f"left out: {name}: {reason}")


def products(figures):
    """Prints how much of our step's time the matrix products account for."""
    f = sorted(figures, key=lambda f: f["ms_a_step"])[len(figures) // 2]
    print(f"colonnade, {f['device_name']}: logits {f['logits']}, chunks of {f['chunk']}; GFLOP/s "
          f"per rank: XW' {f['gflops_logits']:.0f}, GW {f['gflops_features']:.0f}, G'X "
          f"{f['gflops_weights']:.0f}, large square {f['gflops_peak']:.0f}; products take "
          f"{100 * f['share_of_products']:.0f} % of the step at these rates, and "
          f"{100 * f['share_of_peak']:.0f} % at the rate of a large square product")


def compare(a):
    ours = Ours(a)
    able, left_out = agreeing(a, ours)
    print(f"\n== {a.classes} classes, {a.features} features, batch {a.batch}, {a.precision}, "
          f"{a.ranks} ranks", flush=True)
    if not able:
        print("No comparison, only Colonnade is measured.")
    rounds = {one.name: [] for one in (ours, *able)}
    for _ in range(a.rounds):
        for one in (ours, *able):
            rounds[one.name].append(one.timed())
            print(f"{one.name:20} {rounds[one.name][-1]['ms_a_step']:.2f} ms per step", flush=True)
    table(rounds, left_out)
    products(rounds["colonnade"])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for name, value in (("ranks", 1), ("classes", 100_000), ("features", 512), ("batch", 512),
                        ("steps", 5), ("rounds", ROUNDS), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--settings", nargs="*", default=[], metavar="KEY=VALUE",
                        help="settings of Colonnade's head, for example head.passes=one")
    parser.add_argument("--peers", nargs="*", metavar="PEER", help=" ".join(PEERS) +
                        ", each also with :bf16; default: all, and loss_parallel:bf16 in bf16")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    add_python(parser)
    a = parser.parse_args()
    if a.peers is None:
        a.peers = PEERS + (["loss_parallel:bf16"] if a.precision == "bf16" else [])
    for name in a.peers:
        kind, _, weights = name.partition(":")
        if kind not in PEERS or weights not in ("", "bf16"):
            parser.error(f"unknown peer {name}; known: {' '.join(PEERS)}, each also with :bf16")
        if weights and a.precision != "bf16":
            parser.error(f"{name} requires --precision bf16")
    return a


def main():
    a = arguments()
    if not (a.build / "colonnade").is_file():
        sys.exit(f"compare_head: {a.build}/colonnade is not built; run ./dev build")
    try:
        compare(a)
    except Failed as failed:
        sys.exit(f"compare_head: no comparison: {failed}")


if __name__ == "__main__":
    main()
