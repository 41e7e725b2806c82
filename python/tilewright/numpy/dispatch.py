"""NumPy functions called on traced values: found by name in `tilewright.numpy`, refused with advice otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .. import errors

# Arguments of NumPy that change nothing here: memory order, subclasses, in-place choices of copies.
_HARMLESS = ("order", "subok", "copy", "casting", "device", "like")


def _find(name: str, path: str = "") -> Callable[..., Any] | None:
    from .. import numpy as namespace

    found = getattr(namespace.linalg if path == "linalg" else namespace, name, None)
    return found if callable(found) else None


def function(func: Any, args: Any, kwargs: Any) -> Any:
    """Answer `__array_function__`.

    Raises:
        UnsupportedOpError: the function is not in `tilewright.numpy`, or an argument of it is not supported.
    """
    name = getattr(func, "__name__", str(func))
    module = getattr(func, "__module__", "") or ""
    target = _find(name, "linalg" if module.startswith("numpy.linalg") else "")
    if target is None:
        _refuse(f"numpy.{name}")
    return _call(f"numpy.{name}", target, args, _cleaned(f"numpy.{name}", kwargs))


def ufunc(function: Any, method: str, args: Any, kwargs: Any) -> Any:
    """Answer `__array_ufunc__`: calls and `reduce`.

    Raises:
        UnsupportedOpError: the ufunc or its method is not supported.
    """
    name = function.__name__
    if method == "reduce":
        reducer = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min",
                   "logical_and": "all", "logical_or": "any"}.get(name)  # fmt: skip
        target = _find(reducer) if reducer else None
        if target is None:
            _refuse(f"numpy.{name}.reduce")
        kwargs = {"axis": 0, **kwargs}
        return _call(f"numpy.{name}.reduce", target, args, _cleaned(f"numpy.{name}.reduce", kwargs))
    target = _find(name) if method == "__call__" else None
    if target is None:
        _refuse(f"numpy.{name}" + ("" if method == "__call__" else f".{method}"))
    return _call(f"numpy.{name}", target, args, _cleaned(f"numpy.{name}", kwargs))


def _cleaned(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    if kwargs.get("out") is not None:
        errors.fail(
            errors.TracerError,
            f"{name}: out= would write in place, which traced values do not allow",
            help="use the returned value.",
        )
    for argument in ("where", "initial"):
        # NumPy passes sentinels for arguments that were not given.
        if argument in kwargs and not _is_default(kwargs[argument]):
            errors.fail(
                errors.UnsupportedOpError,
                f"{name}: the argument {argument} is not supported on traced values",
            )
    return {
        key: value
        for key, value in kwargs.items()
        if key not in (*_HARMLESS, "out", "where", "initial") and not _is_default(value, missing_only=True)
    }


def _is_default(value: Any, missing_only: bool = False) -> bool:
    return type(value).__name__ == "_NoValueType" or (not missing_only and (value is None or value is True))


def _call(name: str, target: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        return target(*args, **kwargs)
    except TypeError as exc:
        if isinstance(exc, errors.TilewrightError):
            raise
        errors.fail(
            errors.UnsupportedOpError, f"{name}: these arguments are not supported on traced values: {exc}"
        )


def _refuse(name: str) -> NoReturn:
    from .. import numpy as namespace

    short = name.rsplit(".", 1)[-1]
    errors.fail(
        errors.UnsupportedOpError,
        f"{name} is not supported on traced values",
        help=errors.did_you_mean(short, namespace.__all__) or "tw.numpy lists what is.",
    )
