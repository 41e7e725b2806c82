"""Matrix products of many random shapes: nothing may fall off a cliff because its sizes are odd."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..workload import Call, Workload, register
from .matmul import Matmul


class MatmulSweep(Workload):
    """`a @ b`, float32, for random sizes 1 ≤ M, N, K ≤ 3000, each compiled for its shape.

    The shapes are drawn once, from a fixed seed, so that two runs can be compared; the values are fresh. A call goes
    through all of them.
    """

    self_timed = True
    excluded = frozenset({"torch", "torch_compile", "jax", "onnxruntime", "openvino", "iree"})

    def __init__(self, name: str, count: int, largest: int) -> None:
        super().__init__(name)
        draw = np.random.default_rng(20)
        shapes = draw.integers(1, largest + 1, (count, 3)).tolist()
        self.parts = [Matmul(f"{m}x{k}x{n}", m, n, k) for m, k, n in shapes]

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return ()

    numpy_expression = staticmethod(np.matmul)  # so that NumPy takes part

    def fresh(self, system: str, threads: int) -> Callable[[], dict]:
        if system == "tilewright":
            import tilewright as tw

            # One function per shape: what is measured is code for this shape, and no table of 200 shapes.
            functions = [tw.jit(lambda a, b: a @ b, name=part.name) for part in self.parts]
        else:
            functions = [np.matmul] * len(self.parts)
        rng = np.random.default_rng()
        largest = max(max(part.m * part.k, part.k * part.n) for part in self.parts)
        errors: list[float] = []

        def sweep() -> dict:
            # Drawing values for every shape anew would take longer than the products.
            left, right = (rng.standard_normal(largest, dtype=np.float32) for _ in range(2))
            times = []
            for part, function in zip(self.parts, functions, strict=True):
                a, b = left[: part.m * part.k], right[: part.k * part.n]
                a, b = a.reshape(part.m, part.k), b.reshape(part.k, part.n)
                if len(errors) < len(self.parts):
                    errors.append(self._error(part, function(a, b), a, b, rng))
                times.append(_median_ms(functools.partial(function, a, b)))
            # The largest error as a fraction of what its shape allows.
            return {"ms": sum(times), "load_ms": None, "max_error": max(errors), "correct": max(errors) <= 1,
                    "parts_ms": dict(zip((p.name for p in self.parts), times, strict=True))}  # fmt: skip

        return sweep

    def _error(
        self, part: Matmul, result: Any, a: np.ndarray, b: np.ndarray, rng: np.random.Generator
    ) -> float:
        """Return the error of some rows over the tolerance; float64 products of all would outlast the sweep."""
        if result.shape != (part.m, part.n):
            return float("inf")
        rows = rng.integers(0, part.m, 8)
        error = part.error(np.asarray(result)[rows], part.reference(a[rows], b))
        assert error is not None
        return error / part.tolerance


def _median_ms(call: Call) -> float:
    """Return the median of calls of 30 ms together, at least one and at most fifty, after one that warms up."""
    call()
    samples: list[float] = []
    while not samples or (len(samples) < 50 and sum(samples) < 30):
        start = time.perf_counter()
        call()
        samples.append(1e3 * (time.perf_counter() - start))
    return statistics.median(samples)


register([MatmulSweep("matmul_sweep", 200, 3000)])
