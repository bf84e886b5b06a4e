"""Tests of .ci/demo_ranks with a stand-in for nvidia-smi."""
import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("demo_ranks")
GPU = "GPU {}: NVIDIA H200 (UUID: GPU-{}f6c2b0e-1b2a-9d9e-8f0e-5d3c1a7e4b21)"


def ranks(listing, code=0, visible=None):
    """Returns what the script prints if nvidia-smi -L prints `listing` and exits with `code`."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "nvidia-smi")
        program.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] || exit 9\ncat << 'END'\n{listing}\nEND\n"
                           f"exit {code}\n")
        program.chmod(0o755)
        env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        env["PATH"] = f"{folder}:{env['PATH']}"
        if visible is not None:
            env["CUDA_VISIBLE_DEVICES"] = visible
        ran = subprocess.run([SCRIPT], env=env, capture_output=True, text=True, check=True)
        return int(ran.stdout)


def gpus(count):
    return "\n".join(GPU.format(i, i) for i in range(count))


class DemoRanks(unittest.TestCase):
    def test_one_rank_for_each_gpu(self):
        for count in (1, 2, 8):
            self.assertEqual(ranks(gpus(count)), count)

    def test_no_gpu_or_no_driver(self):
        self.assertEqual(ranks("No devices were found", code=6), 2)
        self.assertEqual(ranks("NVIDIA-SMI has failed", code=9), 2)

    def test_parts_of_a_gpu_are_not_counted_again(self):
        self.assertEqual(ranks(gpus(1) + "\n  MIG 1g.18gb Device 0: (UUID: MIG-4a)"), 1)

    def test_visible_devices(self):
        for visible, count in (("0", 1), ("3,1", 2), ("GPU-1f6c2b0e", 1), ("0,-1,2", 1),
                               ("", 2), ("-1", 2)):
            self.assertEqual(ranks(gpus(8), visible=visible), count)


if __name__ == "__main__":
    unittest.main()
