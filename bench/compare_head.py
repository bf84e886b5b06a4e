#!/usr/bin/env python3
"""The classification head of Colonnade beside the ways to have one in PyTorch, in turn three times.

    python3 bench/compare_head.py --ranks 2 --classes 1000000 --batch 512 --precision bf16
    python3 bench/compare_head.py --peers loss_parallel partial_fc

First all of them take three steps of a small problem, and must come to the same losses, gradient
and weights; a ratio to something else means nothing, so the comparison ends if they do not. Then
they are timed one after the other, round by round, on the same cores or GPUs: peers that know
ranks on as many, the others in one process with all of the cores. bench/peers/head.py has them; a
peer with `:bf16` keeps weights and momentum in bf16.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

from programs import CANNOT, Failed, add_python, launch, run, threads_of

PEER = pathlib.Path(__file__).parent / "peers" / "head.py"
ON_RANKS = ("loss_parallel", "partial_fc")
PEERS = [*ON_RANKS, "plain", "compiled", "cce", "liger"]
ROUNDS = 3
# Classes that no number of ranks divides, and a rate at which every step tells.
SMALL = ["--classes", "1003", "--features", "32", "--batch", "24", "--steps", "3"]
# How far a peer may be from ours, relative: sums in f32, or products of bf16. A row of classes that
# no sample has moves by less than bf16 weights can hold, so with those it is asked of all rows
# together.
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
        """Throws Failed unless the peer comes to what the file holds."""
        found = self.run("--check", file, "--lr", "1")
        limits = LIMITS["bf16 weights" if self.weights else self.a.precision]
        far = [f"{key} differ by {found[key]:.1e}, {limit:.0e} is the limit"
               for key, limit in limits.items() if not found[key] <= limit]
        if far:
            raise Failed(1, "; ".join(far))
        print(f"{self.name:20} agrees: " + ", ".join(f"{k} {found[k]:.1e}" for k in limits),
              flush=True)


def sizes(a):
    return [word for key in ("classes", "features", "batch", "steps", "seed")
            for word in (f"--{key}", str(getattr(a, key)))]


def agreeing(a, ours):
    """The peers that run here, once each has been found to compute the same. Throws Failed."""
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
    """The peer's own words, without those of a launcher."""
    return next(line for line in failed.words.splitlines() if line and not line.startswith("---"))


def summary(figures):
    """Medians over the rounds: ms a step, MB of the largest rank and of all."""
    def middle(key):
        return statistics.median(f[key] for f in figures)
    cuda = figures[0]["device"] == "cuda"
    keys = ("peak_bytes", "all_peak_bytes") if cuda else ("process_bytes", "all_process_bytes")
    return {"ms": middle("ms_a_step"), **{name: 1e-6 * middle(key)
                                          for name, key in zip(("rank", "all"), keys)}}


def table(rounds, left_out):
    print(f"{'median of rounds':20}{'ranks':>6}{'ms/step':>10}{'MB/rank':>10}{'MB in all':>10}"
          f"{'time':>8}{'memory':>8}   ms/step of each round")
    mine = summary(rounds["colonnade"])
    for name, figures in rounds.items():
        s = summary(figures)
        times = " ".join(f"{f['ms_a_step']:.1f}" for f in figures)
        print(f"{name:20}{figures[0]['ranks']:6}{s['ms']:10.1f}{s['rank']:10.1f}{s['all']:10.1f}"
              f"{mine['ms'] / s['ms']:8.3f}{mine['all'] / s['all']:8.3f}   {times}")
    print("time, memory: Colonnade's over the peer's; below 1, Colonnade takes less. Memory is\n"
          "what the steps added to the processes at their peak, on a GPU what tensors took; its\n"
          "ratio is of all ranks together.")
    for name, reason in left_out:
        print(f"left out: {name}: {reason}")


def products(figures):
    """Where our step's time goes."""
    f = sorted(figures, key=lambda f: f["ms_a_step"])[len(figures) // 2]
    print(f"colonnade, {f['device_name']}: logits {f['logits']}, chunks of {f['chunk']}; GFLOP/s a "
          f"rank: XW' {f['gflops_logits']:.0f}, GW {f['gflops_features']:.0f}, G'X "
          f"{f['gflops_weights']:.0f}, large and square {f['gflops_peak']:.0f}; products at those "
          f"rates take {100 * f['share_of_products']:.0f} % of the step, at the last "
          f"{100 * f['share_of_peak']:.0f} %")


def compare(a):
    ours = Ours(a)
    able, left_out = agreeing(a, ours)
    print(f"\n== {a.classes} classes, {a.features} features, batch {a.batch}, {a.precision}, "
          f"{a.ranks} ranks", flush=True)
    if not able:
        print("No comparison, Colonnade alone.")
    rounds = {one.name: [] for one in (ours, *able)}
    for _ in range(a.rounds):
        for one in (ours, *able):
            rounds[one.name].append(one.timed())
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
                        help="of Colonnade's head: head.passes=one")
    parser.add_argument("--peers", nargs="*", metavar="PEER", help=" ".join(PEERS) +
                        ", each also with :bf16; by default all, and in bf16 loss_parallel:bf16")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    add_python(parser)
    a = parser.parse_args()
    if a.peers is None:
        a.peers = PEERS + (["loss_parallel:bf16"] if a.precision == "bf16" else [])
    for name in a.peers:
        kind, _, weights = name.partition(":")
        if kind not in PEERS or weights not in ("", "bf16"):
            parser.error(f"no peer {name}; there are {' '.join(PEERS)}, each also with :bf16")
        if weights and a.precision != "bf16":
            parser.error(f"{name} is for --precision bf16")
    return a


def main():
    a = arguments()
    if not (a.build / "colonnade").is_file():
        sys.exit(f"compare_head: {a.build}/colonnade is not built: ./dev build")
    try:
        compare(a)
    except Failed as failed:
        sys.exit(f"compare_head: no comparison: {failed}")


if __name__ == "__main__":
    main()
