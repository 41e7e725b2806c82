"""Tilewright: a tensor compiler on MLIR.

Public names load when first used: importing the package maps no compiler library.
"""

from __future__ import annotations

import importlib
from typing import Any

# name → the module that defines it
_PUBLIC = {
    **dict.fromkeys(
        (
            "ArgumentError",
            "CacheWarning",
            "CheckError",
            "DTypeError",
            "DeviceError",
            "FormatError",
            "IndexRangeError",
            "InternalError",
            "LoweringError",
            "ShapeError",
            "TilewrightError",
            "TracerError",
            "UnsupportedOpError",
        ),
        "errors",
    ),
    **dict.fromkeys(
        (
            "DType",
            "bfloat16",
            "bool_",
            "finfo",
            "float16",
            "float32",
            "float64",
            "iinfo",
            "int16",
            "int32",
            "int4",
            "int64",
            "int8",
            "isdtype",
            "uint16",
            "uint32",
            "uint4",
            "uint64",
            "uint8",
        ),
        "dtypes",
    ),
}

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'tilewright' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
