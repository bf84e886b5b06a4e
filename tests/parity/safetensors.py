"""Reads and writes safetensors files as dictionaries of NumPy arrays (Debian has no package)."""
import json
import struct

import numpy

_TYPES = {"F32": numpy.float32, "F64": numpy.float64, "I64": numpy.int64, "U8": numpy.uint8}


def save(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        kind = next(key for key, dtype in _TYPES.items() if dtype == array.dtype)
        raw = numpy.asarray(array, order="C").tobytes()
        header[name] = {"dtype": kind, "shape": array.shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def load(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], _TYPES[entry["dtype"]])
            .reshape(entry["shape"]) for name, entry in header.items()}
