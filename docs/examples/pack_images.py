#!/usr/bin/env python3
"""Packs a folder of pictures, one subfolder per class, into a file for `data.kind: safetensors`.

    python3 docs/examples/pack_images.py photos/ photos.safetensors --size 112 --hold-out 10

Needs NumPy and Pillow. Classes are the subfolders in alphabetical order; their names are written,
one per line, to photos.classes.txt. --hold-out N puts every Nth picture of each class into a second
file, photos-eval.safetensors, for data.eval_path.
"""
import argparse
import json
import pathlib
import struct

import numpy
from PIL import Image, ImageOps


def picture(path, size, mode):
    """A picture as (size, size, channels) u8, cropped to its center."""
    with Image.open(path) as image:
        return numpy.asarray(ImageOps.fit(image.convert(mode), (size, size)), dtype=numpy.uint8)


def write(path, images, labels):
    """images (N, H, W, Ch) u8 and labels (N) i64 as a safetensors file."""
    images = numpy.stack(images)
    images = images.reshape(*images.shape[:3], -1)
    labels = numpy.array(labels, dtype="<i8")
    header = json.dumps({
        "images": {"dtype": "U8", "shape": images.shape, "data_offsets": [0, images.nbytes]},
        "labels": {"dtype": "I64", "shape": labels.shape,
                   "data_offsets": [images.nbytes, images.nbytes + labels.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + images.tobytes() + labels.tobytes())
    print(f"{path}: {len(labels)} images of {images.shape[1]} x {images.shape[2]} x "
          f"{images.shape[3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("to", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=112, help="height and width in pixels")
    parser.add_argument("--gray", action="store_true", help="one channel instead of three")
    parser.add_argument("--hold-out", type=int, metavar="N", help="every Nth picture of a class")
    a = parser.parse_args()
    classes = sorted(folder for folder in a.folder.iterdir() if folder.is_dir())
    if not classes:
        parser.error(f"{a.folder} has no subfolders; each class needs one")
    parts = {"train": ([], []), "eval": ([], [])}
    for label, folder in enumerate(classes):
        for number, path in enumerate(sorted(folder.iterdir()), 1):
            held_out = a.hold_out and number % a.hold_out == 0
            images, labels = parts["eval" if held_out else "train"]
            images.append(picture(path, a.size, "L" if a.gray else "RGB"))
            labels.append(label)
    write(a.to, *parts["train"])
    if parts["eval"][0]:
        write(a.to.with_name(a.to.stem + "-eval.safetensors"), *parts["eval"])
    names = a.to.with_suffix(".classes.txt")
    names.write_text("".join(folder.name + "\n" for folder in classes))


if __name__ == "__main__":
    main()
