"""Compiles several programs at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from typing import Any

from . import runtime
from .compiled import Compiled
from .programs import Lowered, Progress, pinned, to_bytecode

__all__ = ["compile_all"]


def compile_all(
    programs: Iterable[Lowered], *, progress: Callable[[int, str, int, int], None] | None = None
) -> list[Compiled]:
    """Compile several programs at once, each in a context and a thread of its own.

    Args:
        programs: what `lower` returns. One is compiled while the next is asked for, so that a generator traces beside
            it. With one thread, or for a target that interprets, they take turns.
        progress: called before each stage with the number of the program, the stage's name, the number of stages done
            and of all; from the threads that compile.

    Returns:
        The compiled programs, in order.

    Raises:
        LoweringError: a pass refused; the other programs stop at their next step.

    Example:
        >>> square, double = tw.compile_all(tw.jit(f).lower(tw.spec((4,))) for f in (tw.square, lambda x: x + x))
        >>> double(np.ones(4, np.float32))
        array([2., 2., 2., 2.], dtype=float32)
    """

    def listener(number: int) -> Progress | None:
        return None if progress is None else functools.partial(progress, number)

    def compiled(lowered: Lowered, executable: Any) -> Compiled:
        program = lowered.program
        return Compiled(executable, program.in_tree, program.out_tree, program.name, lowered)

    stop = _Stop()
    jobs: list[tuple[Lowered, Future[Any]]] = []
    with ThreadPoolExecutor(thread_name_prefix="tilewright-compile") as pool:
        try:
            for number, lowered in enumerate(programs):
                if lowered.interprets or runtime.num_threads() < 2:
                    done: Future[Any] = Future()
                    done.set_result(lowered.executable(listener(number)))
                    jobs.append((lowered, done))
                    continue
                apart = Lowered(
                    pinned(lowered.program, to_bytecode(lowered.program.module), {}), lowered.target
                )
                jobs.append((lowered, pool.submit(apart.executable, listener(number), stop)))
            # The first failure, not the order, decides: nobody waits for what will be thrown away.
            for future in as_completed([future for _, future in jobs]):
                future.result()
        except BaseException:
            stop.set()
            raise
    return [compiled(lowered, future.result()) for lowered, future in jobs]


class _Stop:
    """Around each step of a compilation: once it is set, the next step does not begin."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def __enter__(self) -> None:
        if self._set:
            raise CancelledError

    def __exit__(self, *_: object) -> None:
        pass
