"""`tw.jit`: functions on arrays that are traced, compiled once per signature, and called natively."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import config, dtypes, errors, pytree
from .programs import Compiled, Lowered, Traced
from .specs import Spec

_log = logging.getLogger("tilewright.recompiles")


class CacheInfo(NamedTuple):
    """What a jitted function has compiled: calls served, compilations, programs kept, and why each was compiled."""

    hits: int
    misses: int
    currsize: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Options:
    static_argnums: tuple[int, ...] = ()
    static_argnames: tuple[str, ...] = ()
    donate_argnums: tuple[int, ...] = ()
    weight_argnums: tuple[int, ...] = ()
    dynamic: bool | None = None
    target: str | None = None
    name: str | None = None


@dataclass
class _Known:
    """A program of a function: the tree and the leaves' specs it was compiled for."""

    tree: Any
    static: Any
    specs: tuple[Spec, ...]
    compiled: Compiled


def _spec_of(leaf: Any) -> Spec:
    if isinstance(leaf, Spec):
        return leaf
    dtype = dtypes.of(leaf)
    return Spec(tuple(getattr(leaf, "shape", ())), dtype, dtypes.is_weak(leaf))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, (int, str)) else tuple(value)


_watched: list[Jitted] | None = None


def watch_functions() -> list[Jitted]:
    """Return a list that every function jitted from now on is added to; `tilewright explain` reads it."""
    global _watched
    if _watched is None:
        _watched = []
    return _watched


class Jitted:
    """A function that is compiled when it is called; made by `jit`.

    Attributes:
        __wrapped__: The Python function.
    """

    def __init__(self, fn: Callable[..., Any], options: _Options):
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._options = options
        self._known: list[_Known] = []
        self._reasons: list[str] = []
        self._bound: dict[Any, tuple[Any, Compiled]] = {}
        self._misses = 0
        self._dispatch: Any = None
        self._name = options.name or getattr(fn, "__name__", "function")
        if _watched is not None:
            _watched.append(self)

    # -- calling ----------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        dispatch = self._dispatch
        if dispatch is None:
            dispatch = self._make_dispatch()
        return dispatch(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else _BoundMethod(self, instance)

    def _make_dispatch(self) -> Any:
        if config.current().disable_jit or self._target() == "interp" or self._options.weight_argnums:
            self._dispatch = self._call_slowly
        else:
            from . import runtime

            self._dispatch = runtime.Dispatcher(
                self._miss, self._options.static_argnums, self._options.static_argnames
            )
        return self._dispatch

    @errors.trim_traceback
    def _miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        known = self._find_or_compile(args, kwargs)
        tree = known.compiled._out_tree
        unflatten = None if repr(tree) == "*" else functools.partial(pytree.unflatten, tree)
        self._dispatch.add(args, kwargs, known.compiled.executable, unflatten)
        return self._run(known.compiled, args, kwargs)

    @errors.trim_traceback
    def _call_slowly(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._find_or_compile(args, kwargs).compiled, args, kwargs)

    def _run(self, compiled: Compiled, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        weights = [args[i] for i in self._options.weight_argnums]
        if weights:
            leaves, _ = pytree.flatten(weights)
            key = (id(compiled), *map(id, leaves))
            if key not in self._bound:
                # The leaves are kept too: an id is only unique while its object lives.
                self._bound[key] = (leaves, compiled.bind(weights if len(weights) > 1 else weights[0]))
            compiled = self._bound[key][1]
        args, kwargs = self._dynamic_part(args, kwargs, drop_weights=True)
        leaves, _ = pytree.flatten((args, kwargs))
        return pytree.unflatten(compiled._out_tree, compiled._tuple(*leaves))

    def _dynamic_part(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], drop_weights: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        dropped = {i if i >= 0 else i + len(args) for i in self._options.static_argnums}
        if drop_weights:
            dropped |= set(self._options.weight_argnums)
        names = self._static_names(len(args))
        return (
            tuple(a for i, a in enumerate(args) if i not in dropped),
            {k: v for k, v in kwargs.items() if k not in names},
        )

    def _static_names(self, count: int) -> set[str]:
        return set(self._options.static_argnames)

    # -- signatures -------------------------------------------------------------------------------------------

    def _find_or_compile(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Known:
        inspect_signature(self._fn, args, kwargs)
        moving, named = self._dynamic_part(args, kwargs)
        leaves, tree = pytree.flatten((moving, named))
        specs = tuple(_spec_of(leaf) for leaf in leaves)
        static = self._static_key(args, kwargs)
        same = [k for k in self._known if k.tree == tree and k.static == static]
        for known in same:
            if len(known.specs) == len(specs) and all(map(_admits, known.specs, specs)):
                return known
        self._misses += 1
        specs, reason = self._generalise(specs, same)
        if self._known:
            self._reasons.append(reason)
            _log.info("%s: compiled again: %s", self._name, reason)
        traced = self._trace_specs(args, kwargs, specs)
        known = _Known(tree, static, specs, traced.lower(self._target()).compile())
        self._known.insert(0, known)
        return known

    def _static_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = (
            tuple(args[i] for i in self._options.static_argnums if i < len(args)),
            tuple((k, kwargs[k]) for k in sorted(kwargs) if k in self._options.static_argnames),
        )
        try:
            hash(key)
        except TypeError as error:
            errors.fail(
                errors.ArgumentError, f"{self._name}: a static argument is not hashable ({error})",
                help="static arguments are part of the key of compiled code: pass tuples instead of lists",
            )
        return key

    def _generalise(self, specs: tuple[Spec, ...], same: list[_Known]) -> tuple[tuple[Spec, ...], str]:
        """Make sizes dynamic that have changed before; say why a program is compiled."""
        if self._options.dynamic:
            return tuple(_all_dynamic(s) for s in specs), "first call"
        alike = [
            k for k in same
            if len(k.specs) == len(specs)
            and all(a.dtype == b.dtype and len(a.shape) == len(b.shape) for a, b in zip(k.specs, specs, strict=True))
        ]
        if not same:
            return specs, "the arguments have another structure or other static values"
        if not alike:
            return specs, "dtypes or ranks differ from those compiled before"
        known, changes, merged = alike[0], [], []
        for index, (old, new) in enumerate(zip(known.specs, specs, strict=True)):
            shape = []
            for axis, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)):
                if a != b:
                    changes.append(f"dimension {axis} of argument {index} is {b}, was {a}")
                # Sizes 0 and 1 stay static: 1 is what broadcasting looks at.
                shape.append(b if a == b or (b in (0, 1)) or self._options.dynamic is False else None)
            merged.append(Spec(tuple(shape), new.dtype, new.weak))
        return tuple(merged), "; ".join(changes)

    def _trace_specs(self, args: tuple[Any, ...], kwargs: dict[str, Any], specs: Iterable[Spec]) -> Traced:
        moving, named = self._dynamic_part(args, kwargs)
        _, tree = pytree.flatten((moving, named))
        moving, named = pytree.unflatten(tree, specs)
        rebuilt, moved = [], iter(moving)
        static = {i if i >= 0 else i + len(args) for i in self._options.static_argnums}
        for index, value in enumerate(args):
            rebuilt.append(value if index in static else next(moved))
        merged = {**{k: v for k, v in kwargs.items() if k not in named}, **named}
        return self._trace(tuple(rebuilt), merged)

    def _trace(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
        from . import trace

        o = self._options
        result = trace.trace(
            self._fn, args, kwargs, static_argnums=o.static_argnums, static_argnames=o.static_argnames,
            donate_argnums=o.donate_argnums, weight_argnums=o.weight_argnums, name=self._name,
        )
        moving, named = self._dynamic_part(args, kwargs, drop_weights=True)
        result.input_tree = pytree.flatten((moving, named))[1]
        return Traced(self._name, result, self._target())

    def _target(self) -> str:
        settings = config.current()
        return "interp" if settings.disable_jit else self._options.target or settings.target

    # -- looking inside ---------------------------------------------------------------------------------------

    @errors.trim_traceback
    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace the function for arguments, which may be specs.

        Returns:
            The program at stage `traced`.
        """
        inspect_signature(self._fn, args, kwargs)
        return self._trace(args, kwargs)

    @errors.trim_traceback
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace the function and return it for its target, at whichever stage one looks at."""
        inspect_signature(self._fn, args, kwargs)
        return self._trace(args, kwargs).lower()

    def cache_info(self) -> CacheInfo:
        """Return how often calls were served and why programs were compiled again."""
        hits = getattr(self._dispatch, "hits", 0) if self._dispatch is not None else 0
        return CacheInfo(hits, self._misses, len(self._known), tuple(self._reasons))

    def cache_clear(self) -> None:
        """Forget all compiled programs of this function; the disk cache keeps them."""
        self._known.clear()
        self._bound.clear()
        self._reasons.clear()
        self._misses = 0
        self._dispatch = None

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Explain the program for arguments, or all programs compiled so far."""
        if args or kwargs:
            return self.lower(*args, **kwargs).compile().explain()
        return "\n\n".join(known.compiled.explain() for known in reversed(self._known)) or (
            f"{self._name} was not called yet"
        )

    def __repr__(self) -> str:
        return f"<jitted {self._name}>"


class _BoundMethod:
    """A jitted function as a method: `self` is its first, static argument."""

    def __init__(self, function: Jitted, instance: Any):
        self._function = function
        self._instance = instance
        functools.update_wrapper(self, function._fn)

    def _jitted(self) -> Jitted:
        table = self._instance.__dict__.setdefault("_tilewright_methods", {})
        key = id(self._function)
        if key not in table:
            shifted = _Options(
                *(tuple(i - 1 for i in argnums if i > 0) if isinstance(argnums, tuple) and kind.endswith("argnums") else argnums
                  for kind, argnums in vars(self._function._options).items())
            )
            table[key] = Jitted(functools.partial(self._function._fn, self._instance), shifted)
            table[key]._name = self._function._name
        return table[key]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._jitted()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jitted(), name)


def _admits(known: Spec, given: Spec) -> bool:
    if known.dtype != given.dtype or len(known.shape) != len(given.shape):
        return False
    for a, b in zip(known.shape, given.shape, strict=True):
        if isinstance(a, int) and a != b:
            return False
        if a is not None and not isinstance(a, int) and isinstance(b, int) and not a.admits(b):
            return False
    return True


def _all_dynamic(spec: Spec) -> Spec:
    return Spec(tuple(s if s in (0, 1) or not isinstance(s, int) else None for s in spec.shape), spec.dtype, spec.weak)


def inspect_signature(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check a call against the function's signature, so that the error names the function and not ours.

    Raises:
        ArgumentError: If an argument is missing or not expected.
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(fn, "__name__", "function")
        errors.fail(errors.ArgumentError, f"{name}: {error}", help=f"its signature is {name}{signature}")


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] | None = None,
    weight_argnums: int | Iterable[int] | None = None,
    dynamic: bool | None = None,
    target: str | None = None,
    name: str | None = None,
) -> Any:
    """Compile a function on arrays when it is called.

    Args:
        fn: The function; leave it out to use `jit` as a decorator with arguments.
        static_argnums: Positions of arguments that are Python values known while tracing; they must be hashable.
        static_argnames: Names of such keyword arguments.
        donate_argnums: Positions of arguments whose memory the outputs may reuse.
        weight_argnums: Positions of arguments that are weights: packed once and never part of the code.
        dynamic: True compiles all sizes as dynamic at once, False never does; by default a size becomes dynamic when a
            second value of it is seen.
        target: Name of the target; `TILEWRIGHT_TARGET` or `cpu` by default.
        name: Name for messages and dumps.

    Returns:
        A function with the same signature and with `trace`, `lower`, `explain` and `cache_info`.

    Example:
        >>> import numpy as np, tilewright as tw
        >>> @tw.jit
        ... def f(a, b):
        ...     return (a @ b).sum()
        >>> float(f(np.ones((2, 3), "float32"), np.ones((3, 4), "float32")))
        24.0
    """
    options = _Options(
        _as_tuple(static_argnums), _as_tuple(static_argnames), _as_tuple(donate_argnums), _as_tuple(weight_argnums),
        dynamic, target, name,
    )
    if fn is None:
        return lambda function: jit_with(function, options)
    return jit_with(fn, options)


def jit_with(fn: Callable[..., Any], options: _Options) -> Jitted:
    """Return the jitted function; a jitted one is taken apart first."""
    if not callable(fn):
        errors.fail(errors.ArgumentError, f"jit: expected a function, got {type(fn).__name__}")
    return Jitted(fn._fn if isinstance(fn, Jitted) else fn, options)
