"""Traced values: what a user's function sees in place of arrays while it is traced.

A `Tracer` is an IR value with a shape and a dtype and no numbers. Its operators and methods are the functions of
`tilewright.ops`; NumPy functions on it arrive through `__array_function__` and `__array_ufunc__`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from . import errors
from .dtypes import DType
from .symbols import Size, product, show_shape

if TYPE_CHECKING:
    from .recorder import Recorder, Scope

__all__ = ["Tracer", "activate", "current", "leaked"]


class _State(threading.local):
    recorder: Recorder | None = None


_state = _State()


def current() -> Recorder | None:
    """Return the recorder of the trace that runs on this thread."""
    return _state.recorder


@contextmanager
def activate(recorder: Recorder | None) -> Iterator[None]:
    """Make a recorder the one that functions write to."""
    before = _state.recorder
    _state.recorder = recorder
    try:
        yield
    finally:
        _state.recorder = before


def _ops() -> Any:
    global _ops_module
    if _ops_module is None:
        from . import ops

        _ops_module = ops
    return _ops_module


_ops_module: Any = None


def leaked(tracer: Tracer, recorder: Recorder | None) -> NoReturn:
    """Raise the error for a value that is used after, or outside, the trace that made it."""
    if not tracer._scope.recorder.alive:
        what = "a traced value is used after its trace has ended"
    elif tracer._scope.recorder is not recorder:
        what = "a traced value is used inside another trace"
    else:
        what = "a value made inside a branch or loop body is used outside of it"
    errors.fail(
        errors.TracerError,
        f"{what}: {tracer.dtype}{show_shape(tracer.shape)}",
        help="return it from the function (or branch, or loop body) instead of storing it.",
    )


def _binary(name: str, swap: bool = False) -> Any:
    def method(self: Tracer, other: Any) -> Any:
        return getattr(_ops(), name)(other, self) if swap else getattr(_ops(), name)(self, other)

    return errors.trim_traceback(method)


def _unary(name: str) -> Any:
    def method(self: Tracer) -> Any:
        return getattr(_ops(), name)(self)

    return errors.trim_traceback(method)


def _reducer(name: str) -> Any:
    def method(self: Tracer, axis: Any = None, keepdims: bool = False, **options: Any) -> Tracer:
        return getattr(_ops(), name)(self, axis=axis, keepdims=keepdims, **options)

    method.__doc__ = f"Same as `tw.{name}(self, ...)`."
    return errors.trim_traceback(method)


class Tracer:
    """A tensor in a program under construction.

    Attributes:
        shape: sizes; ints, and `SymDim` where the size is known only at the call.
        dtype: a row of the dtype table.
        weak: whether it came from a Python number and takes the dtype of what it meets.
    """

    __slots__ = ("__weakref__", "_scope", "_value", "dtype", "shape", "weak")
    __array_priority__ = 1000

    def __init__(self, value: Any, scope: Scope, shape: tuple[Size, ...], dtype: DType, weak: bool = False):
        self._value, self._scope, self.shape, self.dtype, self.weak = value, scope, shape, dtype, weak

    @property
    def ndim(self) -> int:
        """Rank."""
        return len(self.shape)

    @property
    def size(self) -> Size:
        """Number of elements."""
        return product(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> Size:
        """Bytes of the whole tensor."""
        return self.size * self.dtype.itemsize

    @property
    def device(self) -> str:
        """Always "traced"."""
        return "traced"

    @property
    def T(self) -> Tracer:
        """The transpose: axes reversed."""
        return _ops().transpose(self)

    @property
    def mT(self) -> Tracer:
        """The last two axes exchanged."""
        return _ops().matrix_transpose(self)

    def __repr__(self) -> str:
        return f"<traced {self.dtype}{show_shape(self.shape)}>"

    def __hash__(self) -> int:
        return id(self)

    # -- operators --------------------------------------------------------------------------------------------
    __add__, __radd__ = _binary("add"), _binary("add", True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", True)
    __truediv__, __rtruediv__ = _binary("divide"), _binary("divide", True)
    __floordiv__, __rfloordiv__ = _binary("floor_divide"), _binary("floor_divide", True)
    __mod__, __rmod__ = _binary("remainder"), _binary("remainder", True)
    __pow__, __rpow__ = _binary("pow"), _binary("pow", True)
    __matmul__, __rmatmul__ = _binary("matmul"), _binary("matmul", True)
    __and__, __rand__ = _binary("bitwise_and"), _binary("bitwise_and", True)
    __or__, __ror__ = _binary("bitwise_or"), _binary("bitwise_or", True)
    __xor__, __rxor__ = _binary("bitwise_xor"), _binary("bitwise_xor", True)
    __lshift__, __rlshift__ = _binary("bitwise_left_shift"), _binary("bitwise_left_shift", True)
    __rshift__, __rrshift__ = _binary("bitwise_right_shift"), _binary("bitwise_right_shift", True)
    __eq__, __ne__ = _binary("equal"), _binary("not_equal")
    __lt__, __le__, __gt__, __ge__ = (
        _binary("less"),
        _binary("less_equal"),
        _binary("greater"),
        _binary("greater_equal"),
    )
    __neg__, __pos__, __abs__, __invert__ = (
        _unary("negative"),
        _unary("positive"),
        _unary("abs"),
        _unary("bitwise_invert"),
    )

    sum, prod, mean, max, min = map(_reducer, ("sum", "prod", "mean", "max", "min"))
    any, all, var, std = map(_reducer, ("any", "all", "var", "std"))
    argmax, argmin = map(_reducer, ("argmax", "argmin"))

    def reshape(self, *shape: Any) -> Tracer:
        """Same as `tw.reshape`; takes the sizes one by one or as a tuple."""
        return _ops().reshape(self, shape[0] if len(shape) == 1 and _is_shape(shape[0]) else shape)

    def transpose(self, *axes: Any) -> Tracer:
        """Same as `tw.transpose`; takes the axes one by one or as a tuple."""
        if not axes or axes == (None,):
            return _ops().transpose(self)
        return _ops().transpose(self, axes[0] if len(axes) == 1 and _is_shape(axes[0]) else axes)

    def astype(self, dtype: Any, copy: bool = True) -> Tracer:
        """Same as `tw.astype`."""
        return _ops().astype(self, dtype)

    def squeeze(self, axis: Any = None) -> Tracer:
        """Same as `tw.squeeze`."""
        return _ops().squeeze(self, axis)

    def flatten(self) -> Tracer:
        """One axis in row-major order."""
        return _ops().reshape(self, (-1,))

    ravel = flatten

    def copy(self) -> Tracer:
        """Traced values never change, so this is the value itself."""
        return self

    def take(self, indices: Any, axis: Any = None, mode: str = "raise") -> Tracer:
        """Same as `tw.take`."""
        return _ops().take(self, indices, axis=axis, mode=mode)

    def swapaxes(self, axis1: int, axis2: int) -> Tracer:
        """Same as `tw.swapaxes`."""
        return _ops().swapaxes(self, axis1, axis2)

    def clip(self, min: Any = None, max: Any = None) -> Tracer:
        """Same as `tw.clip`."""
        return _ops().clip(self, min, max)

    def cumsum(self, axis: Any = None) -> Tracer:
        """Same as `tw.cumsum`."""
        return _ops().cumsum(self, axis)

    def round(self, decimals: int = 0) -> Tracer:
        """Round half to even."""
        return _ops().round(self, decimals)

    def dot(self, other: Any) -> Tracer:
        """Same as `tw.numpy.dot`."""
        return _ops().dot(self, other)

    @errors.trim_traceback
    def __getitem__(self, key: Any) -> Tracer:
        return _ops().getitem(self, key)

    @errors.trim_traceback
    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        errors.fail(
            errors.TracerError,
            "traced values cannot be written in place",
            help="y = tw.update_slice(x, new, offsets), tw.scatter(x, indices, new) or tw.where(mask, new, x).",
        )

    # -- what would need numbers ------------------------------------------------------------------------------
    @errors.trim_traceback
    def __bool__(self) -> bool:  # noqa: PLE0304 (never returns)
        _no_numbers(
            self, "truth value", "use tw.cond(pred, f, g, *operands) for a branch, tw.while_loop for a loop"
        )

    @errors.trim_traceback
    def __int__(self) -> int:
        _no_numbers(self, "int()", "cast with x.astype('int64'); loop with tw.fori_loop or tw.scan")

    @errors.trim_traceback
    def __float__(self) -> float:
        _no_numbers(self, "float()", "cast with x.astype('float32'), or call float() on the result outside")

    @errors.trim_traceback
    def __index__(self) -> int:  # noqa: PLE0305 (never returns)
        _no_numbers(
            self,
            "use as a Python index or count",
            "index with x[i] or tw.take; loop with tw.fori_loop or tw.scan",
        )

    @errors.trim_traceback
    def item(self) -> NoReturn:
        """Always fails: there is no number yet."""
        _no_numbers(self, "item()", "return the value and call item() on the result; branch with tw.cond")

    tolist = item

    @errors.trim_traceback
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        _no_numbers(
            self,
            "conversion to a NumPy array",
            "use functions of tw or tw.numpy (NumPy's own work where tilewright implements them);"
            " for control flow on values tw.cond, tw.while_loop and tw.scan",
        )

    @errors.trim_traceback
    def __len__(self) -> int:
        if not self.shape:
            errors.fail(errors.TracerError, "len() of a 0-d traced value")
        size = self.shape[0]
        if not isinstance(size, int):
            errors.fail(
                errors.TracerError, f"len() of a traced value whose leading size {size} is not static",
                help="use x.shape[0]; loop over the axis with tw.scan or tw.fori_loop.",
            )  # fmt: skip
        return size

    @errors.trim_traceback
    def __iter__(self) -> Iterator[Tracer]:
        if not self.shape or not isinstance(self.shape[0], int):
            _no_numbers(self, "iteration over a dynamic axis", "loop with tw.scan or tw.fori_loop")
        return iter([_ops().getitem(self, i) for i in range(self.shape[0])])

    # -- protocols --------------------------------------------------------------------------------------------
    def __array_namespace__(self, api_version: str | None = None) -> Any:
        from . import numpy

        return numpy

    @errors.trim_traceback
    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from .numpy import dispatch

        return dispatch.function(func, args, kwargs)

    @errors.trim_traceback
    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        from .numpy import dispatch

        return dispatch.ufunc(ufunc, method, args, kwargs)


def _is_shape(x: Any) -> bool:
    return isinstance(x, (tuple, list))


def _no_numbers(tracer: Tracer, what: str, instead: str) -> NoReturn:
    if not tracer._scope.recorder.alive:
        leaked(tracer, None)
    errors.fail(
        errors.TracerError,
        f"{what} of a traced {tracer.dtype}{show_shape(tracer.shape)}: it has no numbers while the function is traced",
        help=f"{instead}.",
    )
