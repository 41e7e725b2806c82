"""Programs for the sizes of the calls that were made, so that their kernels have work and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .. import config

#: So often no sizes come that a variant would be compiled for them: calls are only counted.
_NEVER = 1 << 60


def counted(run: Callable[[], list[Any]]) -> list[Any]:
    """Call `run` so that functions jitted in it count the sizes of their calls; return what it returns."""
    with config.override(specialize=_NEVER):
        return run()


def programs(functions: list[Any]) -> list[tuple[str, Any]]:
    """Return what functions were compiled to, lowered for the sizes that most of their calls had.

    Args:
        functions: of `tw.jit`.

    Returns:
        Title and `Lowered` of each program. Sizes of weights alone stay open, and all sizes of a program that was not
        called since they are counted.
    """
    found = []
    for function in functions:
        for compiled, bound in function.programs_with_weights():
            sizes = _most_frequent([compiled, *bound])
            if sizes:
                title = ", ".join(f"{name} = {size}" for name, size in sizes.items())
                found.append((f"{compiled.name}, {title}", _pinned(compiled.lowered, sizes)))
            else:
                found.append((compiled.name, compiled.lowered))
    return found


def _most_frequent(compiled: list[Any]) -> dict[str, int]:
    calls: Counter[tuple[int | None, ...]] = Counter()
    symbols: tuple[str, ...] = ()
    for one in compiled:
        symbols = tuple(getattr(one.executable, "symbols", ()))
        if not symbols:
            return {}
        calls.update(dict(one.executable.observed_sizes()))
        calls.update({sizes: count for sizes, _, count in one.executable.variants()})
    if not calls:
        return {}
    # Between equals the larger one: what the roof is for takes time.
    sizes, _ = max(calls.items(), key=lambda entry: (entry[1], tuple(s or 0 for s in entry[0])))
    return {name: size for name, size in zip(symbols, sizes, strict=True) if size}


def _pinned(lowered: Any, sizes: dict[str, int]) -> Any:
    from ..programs import Lowered, pinned, to_bytecode

    program = pinned(lowered.program, to_bytecode(lowered.program.module), sizes)
    return Lowered(program, lowered.target)
