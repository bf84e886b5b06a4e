"""Runs the program colonnade and reads its output files."""
import json
import pathlib
import subprocess

import safetensors


class Program:
    def __init__(self, binary, mpirun, folder):
        self.binary, self.mpirun, self.folder = binary, mpirun, pathlib.Path(folder)
        self.runs = 0

    def _call(self, *command):
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{ran.stdout}{ran.stderr}")

    def train(self, ranks, settings):
        """Trains with `settings`; returns the folder of the run."""
        self.runs += 1
        out = self.folder / f"run{self.runs}"
        config = self.folder / "experiment.yaml"
        config.write_text("run: {log_every: 1, threads: 1, eval_every_epochs: 0}\n")
        settings = [f"{key}={value}" for key, value in settings.items()]
        self._call(self.mpirun, "-n", str(ranks), self.binary, "train", config, f"run.out={out}",
                   *settings)
        return out

    def export(self, run, step):
        """Returns the tensors of a checkpoint."""
        to = run / "exported.safetensors"
        self._call(self.binary, "export", run, "--to", to, "--checkpoint", str(step))
        return safetensors.load(to)


def metrics(run, kind):
    """Returns the lines of this kind in metrics.jsonl."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]
