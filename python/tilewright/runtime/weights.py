"""Binding weights: raw ones are used where they lie, packed ones are made once per process.

Code may want a weight in a layout of its own; the manifest then names a load entry that packs it. Two executables of
one model (prefill, decode) usually want the same packing of the same arrays: packed arrays are found again in a store
by the arrays they were made from and the key of the code that made them. The store keeps nothing alive.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import errors
from . import failures, interop

__all__ = ["bind", "bind_all", "packed_count", "weight_names"]

_lock = threading.RLock()  # a weak reference may die while its own thread holds the lock
# key → (packed array, owners of the sources' memory); all weak
_store: dict[Any, tuple[weakref.ref, tuple[weakref.ref, ...]]] = {}


def weight_names(executable: Any) -> list[str]:
    """Return the names of the weights that binding needs, each once, in order."""
    names: dict[str, None] = {}
    bound = executable.bound_arrays()
    for index, spec in enumerate(executable.manifest["args"]):
        if spec.get("kind") == "weight" and index not in bound:
            names.update(dict.fromkeys(_sources(executable.manifest, spec)))
    return list(names)


def bind(executable: Any, weights: Mapping[str, Any]) -> Any:
    """Bind weights by name.

    Args:
        executable: an `Executable`.
        weights: arrays of any library by weight name; names that the executable does not use are ignored. Those
            that are not packed are used in place and must stay unchanged.

    Returns:
        An executable that takes only the other arguments. It keeps the weights it uses alive.

    Raises:
        ArgumentError: a weight is missing.
        ShapeError, DTypeError: a weight differs from what the program was compiled for.
    """
    return bind_all([executable], weights)[0]


def bind_all(executables: Sequence[Any], weights: Mapping[str, Any]) -> list[Any]:
    """Bind the same weights to several executables, as `bind` does to one.

    Each name is looked up once for all of them and one weight is finished before the next: a mapping that makes arrays
    on demand never needs to hold more than one, and what the executables pack alike they share.

    Args:
        executables: the programs of one model.
        weights: arrays by weight name; asked for in the order in which the mapping lists them.

    Returns:
        The bound executables, in order.

    Raises:
        As `bind`.
    """
    jobs: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for which, executable in enumerate(executables):
        _require_names(executable, weights)
        bound = executable.bound_arrays()
        for index, spec in enumerate(executable.manifest["args"]):
            if spec.get("kind") == "weight" and index not in bound:
                jobs.setdefault(tuple(_sources(executable.manifest, spec)), []).append((which, index))
    arrays: list[dict[int, np.ndarray]] = [{} for _ in executables]
    # In the order of the mapping: one that makes arrays on access knows which to hand out while memory is still empty.
    order = {name: place for place, name in enumerate(weights)}
    for names, users in sorted(jobs.items(), key=lambda job: order[job[0][0]]):
        stays = all("device" in executables[which].manifest for which, _ in users)
        sources = [_source(weights[name], stays) for name in names]
        for which, index in users:
            arrays[which][index] = _prepared(executables[which], index, names, sources)
    return [executable.bind_arrays(found) for executable, found in zip(executables, arrays, strict=True)]


def _source(weight: Any, stays: bool) -> Any:
    """Return a weight as native code takes it: as a NumPy array, or as it is if it is on a device and `stays` there."""
    if isinstance(weight, np.ndarray):
        return weight
    if not stays:
        return interop.to_numpy(weight)
    device = getattr(weight, "__dlpack_device__", None)
    if (device is None and hasattr(weight, "__cuda_array_interface__")) or (device and device()[0] == 2):
        return weight
    return interop.to_numpy(weight)


def _require_names(executable: Any, weights: Mapping[str, Any]) -> None:
    missing = [name for name in weight_names(executable) if name not in weights]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        hint = errors.did_you_mean(missing[0], weights)
        names = ", ".join(repr(name) for name in missing[:8])
        errors.fail(errors.ArgumentError, f"bind: missing weights {names}{more}", help=hint)


def _prepared(executable: Any, index: int, names: Sequence[str], sources: list[np.ndarray]) -> np.ndarray:
    """Return what is bound to one argument: the array itself where it is dense, or what packing makes of it."""
    load = executable.manifest["args"][index].get("packed_by")
    if load is None:
        (array,) = sources
        if not isinstance(array, np.ndarray) and "device" in executable.manifest:
            return array
        array = interop.to_numpy(array)
        return array if _is_dense(array) else np.ascontiguousarray(array).reshape(array.shape)
    _check(executable.manifest["loads"][load], list(names), sources)
    return _packed(executable, load, sources)


def _sources(manifest: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    if spec.get("packed_by") is not None and spec.get("sources"):
        return list(spec["sources"])
    return [spec.get("weight") or spec["name"]]


def _check(load: dict[str, Any], names: list[str], sources: list[np.ndarray]) -> None:
    """Compare raw weights with what their load entry takes, to name the weight that differs."""
    for name, spec, array in zip(names, load.get("args") or (), sources, strict=False):
        shape = spec["shape"]
        fits = len(shape) == len(array.shape) and all(
            w is None or w == s for w, s in zip(shape, array.shape, strict=True)
        )
        if array.dtype.name != spec["dtype"] or not fits:
            errors.fail(
                errors.ShapeError if array.dtype.name == spec["dtype"] else errors.DTypeError,
                f"bind: weight '{name}' compiled for {failures.spell_spec(spec)}, "
                f"bound to {failures.spell_value(array)}",
            )


def _is_dense(array: np.ndarray) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


def _owner(array: np.ndarray) -> weakref.ref | None:
    """Return a reference to what owns an array's memory; None if that cannot be watched."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    try:
        return weakref.ref(owner)
    except TypeError:
        return None


def _packed(executable: Any, load: int, sources: list[np.ndarray]) -> np.ndarray:
    entry = executable.manifest["loads"][load]
    # The same memory, seen the same way, through the same code, while its owner lives.
    key = (
        entry.get("key"),
        executable.manifest.get("cpu"),
        tuple(
            (a.__array_interface__["data"][0], a.dtype.str, a.dtype.name, a.shape, a.strides) for a in sources
        ),
    )
    owners = tuple(owner for array in sources if (owner := _owner(array)) is not None)
    shareable = entry.get("key") is not None and len(owners) == len(sources)
    if shareable:
        with _lock:
            found = _store.get(key)
        if found is not None:
            packed = found[0]()
            if packed is not None and all(
                old() is not None and old() is new() for old, new in zip(found[1], owners, strict=True)
            ):
                return packed
    packed = executable.run_load(load, sources)
    if shareable:

        def forget(gone: weakref.ref) -> None:
            with _lock:
                if (entry := _store.get(key)) is not None and entry[0] is gone:
                    del _store[key]

        with _lock:
            _store[key] = (weakref.ref(packed, forget), owners)
    return packed


def packed_count() -> int:
    """Return how many packed weights live in this process."""
    with _lock:
        return sum(packed() is not None for packed, _ in _store.values())
