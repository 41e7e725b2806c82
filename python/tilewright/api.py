"""`tw.jit`: a Python function as a compiled one, one program per signature, dynamic where sizes turn out to vary."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import errors, pytree, values
from .calls import Call, Options
from .compiled import Compiled
from .ops import core as ops_core
from .programs import Lowered, Traced
from .runtime import Dispatcher
from .signatures import Family, Leaf, SizedProgram, leaves_of
from .specs import Spec
from .variants import VariantInfo

__all__ = ["CacheInfo", "Function", "jit"]

_log = logging.getLogger("tilewright.recompiles")


_watched: list[Function] | None = None


def watch_functions() -> list[Function]:
    """Return a list that every function jitted from now on is added to; `tilewright explain` reads it."""
    global _watched
    if _watched is None:
        _watched = []
    return _watched


class CacheInfo(NamedTuple):
    """What `fn.cache_info()` tells.

    Attributes:
        hits: calls that found their program.
        misses: calls that had to make one.
        currsize: programs in memory.
        reasons: why each but the first was made, in plain words.
    """

    hits: int
    misses: int
    currsize: int
    reasons: tuple[str, ...]


class Function(Dispatcher):
    """What `tw.jit` returns; called like the function itself.

    `trace(*args)`, `lower(*args)` and `compile(*args)` take arrays or specs and return `Traced`, `Lowered` and
    `Compiled`; `cache_info()` tells what was compiled and why, `cache_clear()` forgets it; `variants()` lists what was
    made for certain sizes on the side, `despecialize()` drops it.
    """

    def __init__(self, fn: Callable[..., Any], options: Options):
        super().__init__(
            self._miss,
            options.static_positions,
            options.static_names,
            sorted(options.weights),
            [name for name in options.positional if options.is_weight(name)],
        )
        self._fn = fn
        self._options = options
        self._families: dict[Any, Family] = {}
        self._misses = 0
        self._slow_hits = 0
        self._reasons: list[str] = []
        functools.update_wrapper(self, fn)
        if _watched is not None:
            _watched.append(self)

    # -- stages -----------------------------------------------------------------------------------------------
    @errors.trim_traceback
    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for arrays or specs, and return the program before any target is chosen."""
        call = self._read(args, kwargs)
        return Traced(self._trace(call, [leaf.spec for leaf in call.leaves]), self._options.target)

    @errors.trim_traceback
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace, and choose the target of this function."""
        return self.trace(*args, **kwargs).lower()

    @errors.trim_traceback
    def compile(self, *args: Any, **kwargs: Any) -> Compiled:
        """Trace, lower and compile."""
        return self.lower(*args, **kwargs).compile(specialize=self._options.specialize)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Say how the function is compiled: for these arguments, or for all that it was called with."""
        if args or kwargs:
            return self.compile(*args, **kwargs).explain()
        parts = [compiled.explain() for compiled in self.programs()]
        if not parts:
            return f"{self._options.name}: not compiled yet; call it, or pass arguments to explain()"
        parts += ["\n".join(lines) for one in self._with_weights() if (lines := one.explain_variants())]
        return "\n\n".join([*parts, *(f"recompiled: {reason}" for reason in self._reasons)])

    def programs(self) -> list[Compiled]:
        """Return what was compiled for the calls so far."""
        return [program.compiled for family in self._families.values() for program in family.programs]

    def programs_with_weights(self) -> list[tuple[Compiled, list[Compiled]]]:
        """Return `programs()`, each with what became of it when weights were bound."""
        return [
            (program.compiled, list(program.with_weights()))
            for family in self._families.values()
            for program in family.programs
        ]

    def _with_weights(self) -> list[Compiled]:
        return [bound for _, programs in self.programs_with_weights() for bound in programs]

    def variants(self) -> list[VariantInfo]:
        """List the variants for certain sizes of all its programs, as `Compiled.variants` does."""
        rows = [row for program in [*self.programs(), *self._with_weights()] for row in program.variants()]
        return sorted(rows, key=lambda row: -row.calls)

    def despecialize(self) -> None:
        """Drop the variants of all its programs, and make no more."""
        for program in [*self.programs(), *self._with_weights()]:
            program.despecialize()

    def cache_info(self) -> CacheInfo:
        """Return counts of hits, misses and programs, and the reason of each recompilation."""
        size = sum(len(family.programs) for family in self._families.values())
        return CacheInfo(self.hits + self._slow_hits, self._misses, size, tuple(self._reasons))

    def cache_clear(self) -> None:
        """Forget all programs of this function (those on disk stay)."""
        self._families.clear()
        self.clear()

    # -- calls ------------------------------------------------------------------------------------------------
    def _miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call that no program in the native table fits."""
        recorder = values.current()
        if recorder is not None:
            with recorder.asking(self._options.precision):
                return self._fn(*args, **kwargs)
        call = self._read(args, kwargs)
        family = self._families.get(call.key)
        if family is None:
            family = self._families[call.key] = Family(self._options.dynamic)
        shapes = [leaf.spec.shape for leaf in call.leaves]
        program = family.find(shapes)
        if program is None:
            program = self._compile_sized(call, family, shapes)
        else:
            self._slow_hits += 1
        compiled = program.compiled
        executable = compiled.executable
        leaves = [leaf.value for leaf in call.leaves if not leaf.weight]
        added = program.added
        if call.has_weights:
            bound, gone = program.bound(call.leaves)
            executable, added = bound.executable, False
            if gone is not None:
                self.discard(gone.executable)
        if isinstance(executable, _native()) and not added and call.plain:
            program.added = self.add(args, kwargs, executable, pytree.unflattener(compiled.out_tree))
        return pytree.unflatten(compiled.out_tree, executable.call_tuple(*leaves))

    def _compile_sized(self, call: Call, family: Family, shapes: list[Any]) -> SizedProgram:
        self._misses += 1
        names = [leaf.name for leaf in call.leaves]
        pattern, reason = family.plan(shapes, names)
        first = len(self._families) == 1 and not family.programs
        if not first:
            self._note(reason or self._new_reason(call))
        try:
            compiled = self._compile_for(call, pattern)
        except (errors.ShapeError, errors.TracerError) as problem:
            if pattern == [tuple(shape) for shape in shapes]:
                raise
            # The function needs to know the size; then each size has a program of its own.
            self._note(f"static for {_shapes(shapes, names)}: {problem.message}")
            pattern = [tuple(shape) for shape in shapes]
            compiled = self._compile_for(call, pattern)
        return family.add(pattern, compiled)

    def _compile_for(self, call: Call, pattern: list[Any]) -> Compiled:
        specs = [leaf.spec.with_shape(shape) for leaf, shape in zip(call.leaves, pattern, strict=True)]
        lowered = Lowered(self._trace(call, specs), self._options.target)
        return lowered.compile(specialize=self._options.specialize)

    def _note(self, reason: str) -> None:
        self._reasons.append(reason)
        _log.info("%s: recompiled: %s", self._options.name, reason)

    def _new_reason(self, call: Call) -> str:
        others = [key for key in self._families if key != call.key]
        for index, text in ((0, "another structure of arguments"), (1, "another value of a static argument"),
                            (2, "another dtype, rank or kind of number")):  # fmt: skip
            if all(key[index] != call.key[index] for key in others):
                return f"{text}: {', '.join(f'{leaf.name}: {leaf.spec}' for leaf in call.leaves)}"
        return "a new combination of structure, static arguments and dtypes"

    # -- reading arguments ------------------------------------------------------------------------------------
    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        options = self._options
        options.check(args, kwargs)
        names = options.names(len(args))
        statics: dict[Any, Any] = {}
        groups: list[tuple[Any, str]] = []
        for i, value in enumerate(args):
            if i in options.static_positions and not (
                i == 0 and options.has_self and type(value) in pytree._registry
            ):
                statics[i] = value
            else:
                groups.append((i, names[i]))
        for key in sorted(kwargs):
            if key in options.static_names:
                statics[key] = kwargs[key]
            else:
                groups.append((key, key))
        try:
            static_key = tuple((place, type(value), value) for place, value in statics.items())
            hash(static_key)
        except TypeError as exc:
            errors.fail(
                errors.ArgumentError,
                f"{options.name}: a static argument cannot be hashed: {exc}",
                help="pass tuples instead of lists, frozen dataclasses instead of dicts.",
            )
        leaves: list[Leaf] = []
        trees = []
        for place, name in groups:
            value = args[place] if isinstance(place, int) else kwargs[place]
            found, tree = leaves_of(value, name, options.is_weight(place), options.is_donated(place))
            leaves += found
            trees.append((place, tree))
        return Call(args, kwargs, statics, static_key, leaves, trees)

    def _trace(self, call: Call, specs: list[Spec]) -> Any:
        from .trace import Argument, trace

        arguments = [
            Argument(leaf.name, spec, leaf.weight, leaf.donate)
            for leaf, spec in zip(call.leaves, specs, strict=True)
        ]
        return trace(
            self._fn, arguments, lambda leaves: self._fn_with(call, leaves), call.in_tree, self._options.name
        )

    def _fn_with(self, call: Call, leaves: list[Any]) -> Any:
        args, kwargs = call.rebuild(leaves)
        recorder = values.current()
        assert recorder is not None, "functions are called by their trace"
        with recorder.asking(self._options.precision):
            return self._fn(*args, **kwargs)


@functools.cache
def _native() -> Any:
    from . import runtime

    return runtime.Executable


def _shapes(shapes: list[Any], names: list[str]) -> str:
    return ", ".join(f"{name}{list(shape)}" for name, shape in zip(names, shapes, strict=True))


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    weight_argnums: int | Sequence[int] | None = None,
    dynamic: bool | None = None,
    specialize: str | int | None = None,
    precision: str | None = None,
    target: str | None = None,
    name: str | None = None,
) -> Any:
    """Compile a function of arrays; with or without parentheses, on functions and methods.

    The first call traces and compiles; later ones run what fits their signature (structure, dtypes, shapes, static
    arguments). The second value of a size makes that size dynamic.

    Args:
        fn: a function of arrays, numbers and trees of them.
        static_argnums: positions of arguments that are Python values; hashable, one program for each.
        static_argnames: the same by name.
        donate_argnums: positions of arguments whose memory outputs may reuse; do not use them afterwards.
        weight_argnums: positions of arguments that are weights: bound once per array, packed for the target.
        dynamic: None as above; True makes all sizes dynamic at once, False none ever.
        specialize: "observed" compiles variants, in a thread of its own, for sizes of dynamic dims that calls often
            have; a number says after how many calls; None leaves it to TILEWRIGHT_SPECIALIZE, by default never.
        precision: of all products of float32 that name none: "tf32" lets targets round their factors, as `tw.matmul`
            says; None is "highest", or what the jitted function asks for that calls this one.
        target: name of the target; None for the configured one.
        name: for messages and logs; None for the function's.

    Returns:
        The compiled function, with `trace`, `lower`, `compile`, `explain`, `cache_info` and `cache_clear`.

    Raises:
        ArgumentError: the options do not fit the function.

    Example:
        >>> import numpy as np, tilewright as tw
        >>> @tw.jit
        ... def f(a, b):
        ...     return (a @ b).sum()
        >>> float(f(np.ones((2, 3), "f"), np.ones((3, 4), "f")))
        24.0
    """
    if fn is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            weight_argnums=weight_argnums,
            dynamic=dynamic,
            specialize=specialize,
            precision=precision,
            target=target,
            name=name,
        )
    if not callable(fn):
        errors.fail(errors.ArgumentError, f"jit: expected a function, got {type(fn).__name__}")
    if isinstance(fn, Function):
        fn = fn._fn
    options = Options(fn, static_argnums=static_argnums, static_argnames=static_argnames,
                       donate_argnums=donate_argnums, weight_argnums=weight_argnums, dynamic=dynamic,
                       target=target, name=name, specialize=specialize, precision=precision)  # fmt: skip
    return Function(fn, options)


def _eager(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run one op on arrays: trace it alone, and let the reference compute it."""
    from .targets import base
    from .trace import Argument, trace

    flat, tree = pytree.flatten((args, kwargs))
    places = [i for i, leaf in enumerate(flat) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
    arguments = [Argument(f"arg{k}", Leaf.of(flat[i], f"arg{k}").spec) for k, i in enumerate(places)]

    def call(tracers: list[Any]) -> Any:
        filled = list(flat)
        for i, tracer in zip(places, tracers, strict=True):
            filled[i] = tracer
        new_args, new_kwargs = pytree.unflatten(tree, filled)
        return fn(*new_args, **new_kwargs)

    in_tree = pytree.TreeDef("tuple", tuple(pytree.LEAF for _ in places))
    program = trace(fn, arguments, call, in_tree, getattr(fn, "__name__", "op"))
    executable: Any = base.find("interp").executable(program)
    if program.constants:
        executable = executable.bind(program.constants)
    return pytree.unflatten(program.out_tree, executable.call_tuple(*[flat[i] for i in places]))


ops_core.eager = _eager
