"""Tilewright: a tensor compiler on MLIR.

Public names load when first used: importing the package maps no compiler library.
"""

from __future__ import annotations

import importlib
from typing import Any

# The functions of `tilewright.ops`; a test holds the list against that module.
_OPS = """
    QuantizedTensor abs acos acosh add all any arange argmax argmin asarray asin asinh astype atan atan2 atanh
    attention average avg_pool batch_norm bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to cbrt ceil check clip concat cond conv copysign
    cos cosh count_nonzero cumprod cumsum dequantize divide dot dot_general dynamic_slice dynamic_update_slice
    einsum embedding equal erf exp exp2 expand_dims expm1 eye flip floor floor_divide fori_loop full full_like
    gather gelu getitem greater greater_equal hypot iota isfinite isinf isnan layer_norm less less_equal linear
    linspace log log10 log1p log2 log_softmax logaddexp logical_and logical_not logical_or logical_xor logsumexp
    matmul matrix_transpose max max_pool maximum mean meshgrid min minimum moveaxis multiply negative norm
    not_equal one_hot ones ones_like outer pad positive pow prod quantize reciprocal relu remainder repeat
    reshape rms_norm roll rope round rsqrt scan scatter sigmoid sign signbit silu sin sinh softmax softplus
    split sqrt square squeeze stack std subtract sum swapaxes switch take take_along_axis tan tanh tensordot
    tile transpose tril triu trunc update_slice var vecdot where while_loop zeros zeros_like
""".split()

# name → the module that defines it; `module:name` where it has another name there, "" for modules
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
            "float8_e4m3fn",
            "float8_e5m2",
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
    **dict.fromkeys(("jit", "watch_functions"), "api"),
    **dict.fromkeys(("Compiled", "load"), "compiled"),
    **dict.fromkeys(("Lowered", "Traced"), "programs"),
    "compile_all": "parallel",
    "Graph": "graph",
    **dict.fromkeys(("Dim", "Spec", "spec"), "specs"),
    "SymDim": "symbols",
    "Tracer": "values",
    "Array": "runtime.array",
    "device_put": "runtime.devices",
    "tree_flatten": "pytree:flatten",
    "tree_unflatten": "pytree:unflatten",
    "tree_map": "pytree:map_tree",
    "register_pytree": "pytree:register",
    "register_dataclass": "pytree",
    **dict.fromkeys(_OPS, "ops"),
    # Modules load like names.
    **dict.fromkeys(
        ("config", "dtypes", "errors", "formats", "frontends", "models", "numpy", "ops", "runtime"), ""
    ),
    "nn": "ops.nn:",
}

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    where = _PUBLIC.get(name)
    if where is None:
        raise AttributeError(f"module 'tilewright' has no attribute {name!r}")
    module, _, attribute = where.partition(":")
    if not module:
        return importlib.import_module(f"{__name__}.{name}")
    found = importlib.import_module(f"{__name__}.{module}")
    value = found if where.endswith(":") else getattr(found, attribute or name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
