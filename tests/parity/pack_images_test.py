"""docs/examples/pack_images.py: folders of pictures -> a file that colonnade trains on."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy
from PIL import Image

import safetensors

SOURCE = pathlib.Path(__file__).parents[2]


class PackImages(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def pack(self, *arguments):
        return subprocess.run(
            [sys.executable, SOURCE / "docs/examples/pack_images.py", self.path / "photos",
             self.path / "photos.safetensors", *arguments], capture_output=True, text=True)

    def draw(self, name, color, size=(40, 20)):
        path = self.path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)

    def test_folders_become_classes(self):
        for number in range(4):
            self.draw(f"cat/{number}.png", (10, 20, 30))
            self.draw(f"ant/{number}.jpg", (250, 0, 0), (16, 64))
        packed = self.pack("--size", "32", "--hold-out", "2")
        self.assertEqual(packed.returncode, 0, packed.stderr)
        train = safetensors.load(self.path / "photos.safetensors")
        held_out = safetensors.load(self.path / "photos-eval.safetensors")
        self.assertEqual(train["labels"].tolist(), [0, 0, 1, 1])
        self.assertEqual(held_out["labels"].tolist(), [0, 0, 1, 1])
        self.assertEqual(train["images"].shape, (4, 32, 32, 3))
        numpy.testing.assert_array_equal(train["images"][2], numpy.full((32, 32, 3), (10, 20, 30)))
        self.assertEqual((self.path / "photos.classes.txt").read_text(), "ant\ncat\n")

    def test_the_readme_works(self):
        for number in range(12):
            for name, color in (("a", (200, 0, 0)), ("b", (0, 200, 0)), ("c", (0, 0, 200))):
                self.draw(f"{name}/{number}.png", color)
        self.assertEqual(self.pack("--size", "32", "--hold-out", "3").returncode, 0)
        run = subprocess.run(
            [MPIRUN, "-n", "2", BINARY, "train", SOURCE / "configs/own_images.yaml", "run.epochs=0",
             "run.steps=3", "schedule.warmup_steps=0", "data.global_batch_size=8"],
            cwd=self.path, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("run runs/own_images: 3 classes, 24 training images of 32 x 32 x 3\n",
                      run.stdout)
        self.assertIn("test: top-1", run.stdout)

    def test_no_classes(self):
        (self.path / "photos").mkdir()
        packed = self.pack()
        self.assertEqual(packed.returncode, 2)
        self.assertIn("has no subfolders", packed.stderr)


if __name__ == "__main__":
    BINARY, MPIRUN = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
