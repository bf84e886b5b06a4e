#!/usr/bin/env python3
"""Plots the loss curves of runs over time and over the number of images.

    python3 bench/curves.py "sampled=runs/a" "all=runs/b" --batch 256 --picture docs/words_1m.svg

Reads each run's metrics.jsonl, plots its losses, and prints the final results as a Markdown table.
Time is training time, without evaluation and checkpoints.
"""
import argparse
import json
import pathlib

import pictures


def read_run(name, folder, batch):
    """Returns a run's points (minutes, millions of images, loss) and the last score per split."""
    minutes, seen, points, scores = 0.0, 0, [], {}
    for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["kind"] == "train":
            images = row["step"] * batch
            minutes += (images - seen) / row["samples_per_s"] / 60
            seen = images
            points.append((minutes, 1e-6 * images, row["loss"]))
        elif row["kind"] == "eval":
            scores[row["split"]] = (row["top1"], row["top5"])
    return name, points, scores


def table(runs):
    splits = list(runs[0][2])
    print("| run | minutes | images | " + " | ".join(f"{s}: top-1 | top-5" for s in splits) + " |")
    print("|---" * (3 + 2 * len(splits)) + "|")
    for name, points, scores in runs:
        cells = [f"{100 * share:.1f} %" if s in scores else "-"
                 for s in splits for share in scores.get(s, (0, 0))]
        minutes, millions, _ = points[-1]
        print(f"| {name} | {minutes:.0f} | {millions:.2f} M | " + " | ".join(cells) + " |")


def draw(path, runs):
    figure, axes = pictures.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, column, unit in zip(axes, (0, 1), ("minutes of training", "millions of images")):
        for name, points, _ in runs:
            axis.plot([p[column] for p in points], [p[2] for p in points], label=name)
        axis.set_xlabel(unit)
        axis.grid(True, alpha=0.3)
    axes[0].set_ylabel("loss")
    axes[0].legend()
    pictures.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--batch", type=int, required=True,
                        help="data.global_batch_size of the runs")
    parser.add_argument("--picture", type=pathlib.Path)
    a = parser.parse_args()
    runs = [read_run(*run.split("=", 1), a.batch) for run in a.runs]
    table(runs)
    if a.picture:
        draw(a.picture, runs)


if __name__ == "__main__":
    main()
