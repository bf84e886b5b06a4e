#!/usr/bin/env python3
"""Predicts the times of heads and trunks on one GPU by a model: nothing is measured.

    python3 bench/gpu_model.py              the tables of docs/performance.md, in Markdown
    python3 bench/gpu_model.py --kernels    the kernels of one chunk of the head, after each step

Times of kernels are computed from the peaks of an H200 and from the size of a product's tiles, for
three sets of assumptions: central, best and worst. Ratios within one set are better than absolute
times. docs/head.md describes the kernels of a chunk; a step of the ladder is a change of these.
"""
import argparse

from gpu_heads import LADDER, PEERS, peer_ms
from gpu_kernels import CLASSES, BATCHES, CENTRAL, BEST, WORST
from gpu_trunks import TRUNKS, POINTS, trunk_ms


def three(times):
    """Formats (central, best, worst): "10.1 (9.2-11.5)"."""
    if times[0] is None:
        return "does not fit"
    texts = [f"{t:.0f}" if t >= 100 else f"{t:.1f}" if t >= 3 else f"{t:.2f}" for t in times]
    return f"{texts[0]} ({texts[1]}-{texts[2]})"


def row(name, cells):
    print(f"| {name} | " + " | ".join(cells) + " |")


def head_tables():
    for batch in BATCHES:
        row(f"B = {batch}, ms per step", [f"C = {c:.0e}".replace("e+0", "e") for c in CLASSES])
        print("|---" * (1 + len(CLASSES)) + "|")
        for name, step in LADDER:
            row(name, [three([step(p, c, batch).ms() for p in (CENTRAL, BEST, WORST)])
                       for c in CLASSES])
        for peer in PEERS:
            row(peer.name, [three([peer_ms(p, peer, c, batch) for p in (CENTRAL, BEST, WORST)])
                            for c in CLASSES])
        print()


def trunk_table():
    row("ms per step of 256 images", [name for name, _ in TRUNKS])
    print("|---" * (1 + len(TRUNKS)) + "|")
    for i, name in enumerate(POINTS):
        row(name, [three([trunk_ms(p, layers, range(1, i + 1)) for p in (CENTRAL, BEST, WORST)])
                   for _, layers in TRUNKS])
    row("torch.compile", [three([trunk_ms(p, layers, (), True) for p in (CENTRAL, BEST, WORST)])
                          for _, layers in TRUNKS])


def kernels(classes, batch):
    for name, step in LADDER:
        head = step(CENTRAL, classes, batch)
        print(f"{name}: {head.chunks} chunks, {head.ms():.2f} ms")
        for kernel, us in [*head.of_a_chunk, *head.once]:
            print(f"    {kernel:40}{us:10.1f} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--classes", type=int, default=10**6, help="of --kernels")
    parser.add_argument("--batch", type=int, default=1024, help="of --kernels")
    a = parser.parse_args()
    if a.kernels:
        kernels(a.classes, a.batch)
    else:
        head_tables()
        trunk_table()


if __name__ == "__main__":
    main()
