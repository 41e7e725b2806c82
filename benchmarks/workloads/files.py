"""Model files from PyPI packages, read without Tilewright's own front ends."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path

import numpy as np


def package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it.

    Raises:
        FileNotFoundError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the model package {name} is not installed (`make bench` installs it)")
    return Path(spec.submodule_search_locations[0])


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the float32 tensors of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + size + begin : 8 + size + end], np.float32)
        tensors[name] = array.reshape(entry["shape"])
    return tensors
