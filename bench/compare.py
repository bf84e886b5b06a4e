#!/usr/bin/env python3
"""Compares training steps of Colonnade and PyTorch on one device, alternating over three rounds.

    python3 bench/compare.py                      the default networks
    python3 bench/compare.py CONFIG [KEY=VALUE...]

Runs bench/step and bench/peers/step.py, and prints the medians of time and memory with their
ratios. Without a GPU, the default networks are made smaller. Without PyTorch, or on several ranks,
Colonnade is measured alone, and the output states why.
"""
import argparse
import pathlib
import statistics
import sys

from programs import CANNOT, Failed, add_python, launch, run, threads_of

PEER = pathlib.Path(__file__).parent / "peers" / "step.py"
# Default networks, with the settings that make them run in seconds on a CPU.
NETWORKS = {
    "configs/glyphs.yaml": [],
    "configs/resnet50.yaml": ["data.global_batch_size=8", "data.height=64", "data.width=64"],
    "configs/iresnet50.yaml": ["data.global_batch_size=8", "data.classes=5000"],
}
ROUNDS = 3
STEPS = {"cuda": 30, "cpu": 5}
# Keys of bench/step's JSON that are passed to the peer as arguments.
SHARED = ("trunk", "features", "model_width", "model_depth", "model_kernel", "model_stride",
          "height", "width", "channels", "classes", "global_batch_size", "precision", "device",
          "lr", "momentum", "weight_decay")
SWITCHES = ("bias", "tf32")


def ours(a, config, settings, steps, show):
    phases = [] if show else ["--no-phases"]
    return run([*launch(a.ranks), a.build / "bench" / "step", config, *settings,
                "--steps", str(steps), *phases], show)


def peer(a, like, threads, steps, show):
    words = [word for key in SHARED for word in (f"--{key}", str(like[key]))]
    words += [f"--{key}" for key in SWITCHES if like[key]]
    return run([a.python, PEER, *words, "--steps", str(steps), "--threads", str(threads),
                "--compile", a.compile], show)


def summary(figures):
    """Returns the medians of one program's figures over the rounds, by name."""
    keys = [key for key in ("ms_a_step", "images_a_second", "peak_bytes", "process_bytes")
            if figures[0][key] is not None]
    return {key: statistics.median(f[key] for f in figures) for key in keys}


def line(name, figures):
    all_times = " ".join(f"{f['ms_a_step']:.2f}" for f in figures)
    s = summary(figures)
    tensors = f"{1e-6 * s['peak_bytes']:10.1f}" if "peak_bytes" in s else f"{'-':>10}"
    print(f"{name:24}{s['ms_a_step']:10.2f}{s['images_a_second']:12.1f}{tensors}"
          f"{1e-6 * s['process_bytes']:12.1f}   {all_times}")


def table(mine, theirs):
    print(f"{'median of rounds':24}{'ms/step':>10}{'images/s':>12}{'tensors MB':>11}"
          f"{'process MB':>11}   ms/step of each round")
    line("colonnade", mine)
    if not theirs:
        return
    line(theirs[0]["program"], theirs)
    a, b = summary(mine), summary(theirs)
    memory = "peak_bytes" if "peak_bytes" in b else "process_bytes"
    kind = "of tensors" if memory == "peak_bytes" else "of the process"
    print(f"ratio colonnade / PyTorch: time {a['ms_a_step'] / b['ms_a_step']:.3f}, "
          f"memory {kind} {a[memory] / b[memory]:.3f} (below 1: Colonnade uses less)")


def compare(a, config, settings):
    """Compares one network. Returns False if the peer failed; without PyTorch, returns True."""
    threads = threads_of(a.ranks)
    settings = [f"run.threads={threads}", *settings]
    device = ours(a, config, settings, 0, False)["device"]
    if not a.config and device == "cpu":
        settings += NETWORKS[config]
    steps = a.steps or STEPS[device]
    print(f"\n== {config} {' '.join(settings)}", flush=True)
    alone = "the peer supports one rank only" if a.ranks > 1 else ""
    well, mine, theirs = True, [], []
    for round_ in range(a.rounds):
        mine.append(ours(a, config, settings, steps, show=round_ == 0))
        if alone:
            continue
        try:
            theirs.append(peer(a, mine[-1], threads, steps, show=round_ == 0))
        except Failed as failed:
            alone = failed.words or str(failed)
            well = failed.code == CANNOT
    if alone:
        print(f"No comparison, only Colonnade was measured: {alone}")
    table(mine, theirs)
    return well


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("config", nargs="?", metavar="CONFIG")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--steps", type=int, help="timed steps per round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--compile", default="default", help="mode of torch.compile, or off")
    add_python(parser)
    a = parser.parse_args()
    if not (a.build / "bench" / "step").is_file():
        sys.exit(f"compare: {a.build}/bench/step is not built; run ./dev build")
    try:
        networks = [a.config] if a.config else list(NETWORKS)
        well = [compare(a, config, a.settings) for config in networks]
    except Failed as failed:
        sys.exit(f"compare: {failed}")
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
