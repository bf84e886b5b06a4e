#!/usr/bin/env python3
"""Measures how a head step's time and memory grow with the classes and with the batch.

    python3 bench/growth.py [--ranks 2] [--picture docs/growth.svg]

Runs `colonnade bench head` at each size, prints the figures as a Markdown table, and plots them.
The last column of each configuration is the time relative to linear scaling from the largest size.
"""
import argparse
import pathlib

import pictures
from programs import launch, run, threads_of

CLASSES = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000]
BATCHES = [16, 32, 64, 128, 256, 512, 1024]
LINES = [("f32", []), ("bf16", []), ("bf16", ["head.storage=bf16", "head.logits=recompute"])]


def label(line):
    precision, settings = line
    return " ".join([precision, *settings])


def measured(a, line, classes, batch):
    precision, settings = line
    steps = max(3, min(20, 300_000_000 // (classes * batch)))
    figures = run([*launch(a.ranks), a.build / "colonnade", "bench", "head", "--classes",
                   str(classes), "--features", str(a.features), "--batch", str(batch),
                   "--precision", precision, "--steps", str(steps), "--threads",
                   str(threads_of(a.ranks)), *settings])
    return figures["ms_a_step"], 1e-6 * figures["peak_bytes"]


def table(head, sizes, figures):
    """Prints a row per size: time, memory, and time relative to linear scaling, for each line."""
    columns = [f"{label(line)}: ms | MB | of linear" for line in LINES]
    print(f"| {head} | " + " | ".join(columns) + " |")
    print("|---" * (1 + 3 * len(LINES)) + "|")
    for i, size in enumerate(sizes):
        cells = []
        for of_line in figures:
            straight = of_line[-1][0] * size / sizes[-1]
            cells += [f"{of_line[i][0]:.1f}", f"{of_line[i][1]:.0f}",
                      f"{of_line[i][0] / straight:.2f}"]
        print(f"| {size:,} | " + " | ".join(cells) + " |", flush=True)


def draw(path, panels):
    figure, axes = pictures.subplots(2, len(panels), figsize=(10, 7))
    for column, (head, sizes, figures) in enumerate(panels):
        for row, unit in enumerate(("ms per step", "MB of tensors per rank")):
            axis = axes[row][column]
            for line, of_line in zip(LINES, figures):
                axis.loglog(sizes, [f[row] for f in of_line], "o-", label=label(line))
            axis.set_xlabel(head)
            axis.set_ylabel(unit)
            axis.grid(True, which="both", alpha=0.3)
    axes[0][0].legend()
    pictures.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64, help="while the classes grow")
    parser.add_argument("--classes", type=int, default=100_000, help="while the batch grows")
    parser.add_argument("--most-classes", type=int, default=CLASSES[-1])
    parser.add_argument("--picture", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    a = parser.parse_args()
    classes = [c for c in CLASSES if c <= a.most_classes]
    panels = [("classes", classes, [[measured(a, line, c, a.batch) for c in classes]
                                    for line in LINES]),
              ("batch", BATCHES, [[measured(a, line, a.classes, b) for b in BATCHES]
                                  for line in LINES])]
    for panel in panels:
        table(*panel)
        print()
    if a.picture:
        draw(a.picture, panels)


if __name__ == "__main__":
    main()
