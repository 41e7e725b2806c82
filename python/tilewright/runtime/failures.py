"""The errors of calls. Native code asks here for an exception and raises it itself, so that no frame of this
package stands between the user's line and the error."""

from __future__ import annotations

import linecache
import sys
from types import TracebackType
from typing import Any

import numpy as np

from .. import dtypes, errors

__all__ = [
    "bind_error",
    "call_error",
    "device_error",
    "load_error",
    "status_error",
    "trimmed_traceback",
    "weight_error",
]

# Statuses of cpp/Runtime/Abi.h.
INDEX, CHECK, SHAPE, MEMORY = 1, 2, 3, 4


def _short(dtype: str) -> str:
    try:
        return dtypes.by_name(dtype).mlir
    except errors.TilewrightError:
        return dtype


def spell_spec(spec: dict[str, Any]) -> str:
    """Write an argument's type as in `f32[n,256]`; a size that may be anything is `?`."""
    names = spec.get("dims") or [None] * len(spec["shape"])
    sizes = [
        name or ("?" if size is None else str(size)) for size, name in zip(spec["shape"], names, strict=True)
    ]
    return f"{_short(spec['dtype'])}[{','.join(sizes)}]"


def spell_value(value: Any) -> str:
    """Write the type of what a caller passed: `f32[4,128]`, `a Python float`, `a list`."""
    if type(value) in (bool, int, float):
        return f"a Python {type(value).__name__} ({value!r})"
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return "None" if value is None else f"a {type(value).__name__}"
    name = str(getattr(dtype, "name", None) or dtype).removeprefix("torch.")
    native = "" if getattr(dtype, "isnative", True) else " in foreign byte order"
    return f"{_short(name)}[{','.join(map(str, shape))}]{native}"


def _make(cls: type, message: str, help: str | None = None) -> Exception:
    # Native code calls from the user's frame: the caller of this module's function is the place.
    return cls(message, help=help, loc=errors.user_location(sys._getframe(2)))


def load_error(message: str) -> Exception:
    """Make the error of an object or manifest that cannot be loaded."""
    return errors.FormatError(f"load: {message}")


_DEVICE_HELP = {
    "driver": "install NVIDIA's driver, or use target='cpu'; `lower(...).as_text('object')` is the PTX on any machine.",
    "device": "choose another one (`cuda:0`), or use target='cpu'; CUDA_VISIBLE_DEVICES may hide GPUs.",
    "old": "compile for its architecture (target='cuda'), or use target='cpu'.",
    "memory": "free arrays, or make the call's arrays smaller; CuPy and torch keep memory of their own in pools.",
    "launch": "TILEWRIGHT_CUDA_SYNC=1 waits after each kernel, and so names the one that fails.",
}


def device_error(executable: Any, kind: str, message: str, kernel: str) -> Exception:
    """Make the error of a call that a GPU, or the lack of one, ended.

    Args:
        executable: the program; None for what belongs to no program.
        kind: driver, device, old, memory, load, launch or other.
        message: what was tried and what the driver said.
        kernel: the device kernel, or "".
    """
    loc = None
    if executable is not None and kernel:
        # Kernels are named after the computation that they were made of: kernel_3_0 is the first part of kernel_3.
        origin = kernel.rpartition("_")[0]
        lines = next(
            (k["lines"] for k in executable.manifest.get("kernels") or () if k["name"] == origin), []
        )
        message = f"kernel {kernel}: {message}"
        loc = _line(lines[0]) if lines else None
        if len(lines) > 1:  # fused, or the same code for several places
            message += f"; it is also of {', '.join(lines[1:4])}"
    if executable is not None and kind in ("driver", "device", "old"):
        message = f"the program is compiled for a GPU ({executable.manifest['device']['arch']}): {message}"
    loc = loc or errors.user_location(sys._getframe(1))
    return errors.DeviceError(message, help=_DEVICE_HELP.get(kind), loc=loc)


def _line(place: str) -> errors.SourceLocation:
    """Return the place that a manifest writes as `file:line`."""
    file, _, number = place.rpartition(":")
    return errors.SourceLocation(file, int(number), 0, "", linecache.getline(file, int(number)).strip())


def _argument_problem(spec: dict[str, Any], value: Any, symbols: dict[str, Any], seen: dict[str, Any]) -> Any:
    """Return (error class, reason) or None for one argument; `seen` gathers the sizes of symbols."""
    if type(value) in (bool, int, float):
        fits = not spec["shape"] and dtypes.scalar_fits(value, dtypes.by_name(spec["dtype"]))
        return None if fits else (errors.ShapeError if spec["shape"] else errors.DTypeError, "")
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return errors.ArgumentError, ""
    name = str(getattr(dtype, "name", None) or dtype).removeprefix("torch.")
    if name != spec["dtype"] or not getattr(dtype, "isnative", True):
        return errors.DTypeError, ""
    want, shape = spec["shape"], tuple(shape)
    if len(want) != len(shape) or any(w is not None and w != s for w, s in zip(want, shape, strict=True)):
        return errors.ShapeError, ""
    for axis, symbol in enumerate(spec.get("dims") or ()):
        if not symbol:
            continue
        size, rule = shape[axis], symbols.get(symbol) or {}
        first = seen.setdefault(symbol, (size, spec["name"], axis))
        if first[0] != size:
            return errors.ShapeError, (
                f"dim {symbol!r} is {first[0]} (axis {first[2]} of '{first[1]}') and {size} (axis {axis})"
            )
        low, high, step = rule.get("min") or 0, rule.get("max"), rule.get("multiple_of") or 1
        if size < low or (high is not None and size > high) or size % step:
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            extra = f" and a multiple of {step}" if step != 1 else ""
            return errors.ShapeError, f"dim {symbol!r} must be {limits}{extra}, it is {size}"
    if spec.get("donate") and isinstance(value, (bool, int, float)):
        return errors.ArgumentError, "it is donated, so it must be an array"
    if spec.get("donate") and isinstance(value, np.ndarray):
        if not value.flags.writeable:
            return errors.ArgumentError, "it is donated, so it must be writable"
        if not value.flags.c_contiguous or not value.flags.aligned:
            return errors.ArgumentError, "it is donated, so it must be contiguous"
    return None


def call_error(executable: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
    """Make the error of a call whose arguments do not fit, naming each argument that does not."""
    manifest = executable.manifest
    specs = [manifest["args"][index] for index in executable.input_indices]
    names = [spec.get("name") or f"arg{i}" for i, spec in zip(executable.input_indices, specs, strict=True)]
    unknown = [name for name in kwargs if name not in names]
    if unknown:
        hint = errors.did_you_mean(unknown[0], names) or f"the arguments are {', '.join(names) or 'none'}."
        return _make(errors.ArgumentError, f"call: there is no argument '{unknown[0]}'", hint)
    if len(args) > len(specs):
        message = f"call: {len(args)} arguments for a program of {len(specs)} ({', '.join(names)})"
        return _make(errors.ArgumentError, message)
    given = dict(zip(names, args, strict=False))
    twice = [name for name in kwargs if name in given]
    if twice:
        return _make(errors.ArgumentError, f"call: argument '{twice[0]}' is given twice")
    given.update(kwargs)
    missing = [name for name in names if name not in given]
    if missing:
        what = ", ".join(
            f"'{name}' {spell_spec(spec)}" for name, spec in zip(names, specs, strict=True) if name in missing
        )
        return _make(errors.ArgumentError, f"call: missing {what}")

    lines: list[str] = []
    cls: type | None = None
    seen: dict[str, Any] = {}
    for name, spec in zip(names, specs, strict=True):
        problem = _argument_problem({**spec, "name": name}, given[name], manifest.get("symbols") or {}, seen)
        if problem is None:
            continue
        cls = cls or problem[0]
        line = f"argument '{name}' compiled for {spell_spec(spec)}, called with {spell_value(given[name])}"
        lines.append(f"{line}: {problem[1]}" if problem[1] else line)
    if cls is None:
        return _overlap_error(names)
    help = None
    if cls is errors.ArgumentError and not any("donated" in line for line in lines):
        help = "pass arrays: NumPy, torch, or anything with __dlpack__."
    return _make(cls, "call: " + "\n      ".join(lines), help)


def _overlap_error(names: list[str]) -> Exception:
    return errors.ArgumentError(
        f"call: donated arguments share memory (arguments: {', '.join(names)})",
        help="donate different arrays, or pass copies.",
        loc=errors.user_location(sys._getframe(2)),
    )


def bind_error(executable: Any, index: int, array: Any) -> Exception:
    """Make the error of an array that does not fit the argument it is bound to."""
    spec = executable.manifest["args"][index]
    name = spec.get("weight") or spec.get("name") or f"arg{index}"
    cls = errors.ShapeError
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        cls = errors.ArgumentError
    elif getattr(dtype, "name", str(dtype).rpartition(".")[2]) != spec["dtype"]:
        cls = errors.DTypeError
    message = f"bind: weight '{name}' compiled for {spell_spec(spec)}, bound to {spell_value(array)}"
    return _make(cls, message)


def weight_error(executable: Any, load: int, source: int, array: Any) -> Exception:
    """Make the error of a weight that does not fit the code that packs it."""
    spec = executable.manifest["loads"][load]["args"][source]
    cls = errors.DTypeError if getattr(array.dtype, "name", None) != spec["dtype"] else errors.ShapeError
    name = spec.get("name") or f"source {source}"
    return _make(cls, f"bind: weight '{name}' compiled for {spell_spec(spec)}, bound to {spell_value(array)}")


def status_error(executable: Any, status: int, location: int) -> Exception:
    """Make the error of a run that failed, at the user's line that the manifest has for it."""
    locations = executable.manifest.get("locations") or []
    entry = locations[location] if 0 <= location < len(locations) else None
    loc = None
    if entry:
        loc = errors.SourceLocation(
            entry.get("file") or "<unknown>",
            entry.get("line") or 0,
            entry.get("column") or 0,
            entry.get("function") or "",
            entry.get("text") or "",
        )
    if loc is None:
        loc = errors.user_location(sys._getframe(1))
    said = (entry or {}).get("message")
    # The check that `gather` makes of its indices says this, and nothing else does.
    if status == INDEX or said == "index out of range":
        return errors.IndexRangeError(
            said or "gather: an index lies outside of its axis",
            help='clip the indices, or use mode="clip" or mode="wrap".',
            loc=loc,
        )
    if status == CHECK:
        return errors.CheckError(said or "check: the condition is false", loc=loc)
    if status == SHAPE:
        return errors.ShapeError(said or "run: sizes that are only known at run time do not agree", loc=loc)
    if status == MEMORY:
        return MemoryError("tilewright: no memory for the temporary arrays of this call")
    return errors.InternalError(f"run: compiled code failed with status {status}", loc=loc)


def trimmed_traceback(exc: BaseException) -> TracebackType | None:
    """Return the traceback of `exc` without frames of this package, or whole for bugs of our own."""
    if errors._is_ours_to_keep(exc):
        return exc.__traceback__
    return errors._user_traceback(exc.__traceback__)
