"""Matrix products of many random shapes: nothing may fall off a cliff because its sizes are odd."""

from __future__ import annotations

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
    through all of them and takes the median of three for each.
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

    def numpy_expression(self) -> Any:  # NumPy takes part; `fresh` runs it
        raise NotImplementedError

    def _prepare(self, system: str, part: Matmul, rng: np.random.Generator) -> tuple[Call, float]:
        """Return the call of one shape and its error."""
        a, b = part.inputs(rng)
        call = part.tilewright(a, b) if system == "tilewright" else lambda: part.numpy_expression(a, b)
        # float64 products of all shapes would take longer than the sweep: some rows of each tell as much.
        rows = rng.integers(0, part.m, 8)
        error = part.error(np.asarray(call())[rows], part.reference(a[rows], b))
        assert error is not None
        return call, error / part.tolerance

    def fresh(self, system: str, threads: int) -> Callable[[], dict]:
        rng = np.random.default_rng()

        def median_ms(call: Call) -> float:
            samples = []
            for _ in range(3):
                start = time.perf_counter()
                call()
                samples.append(1e3 * (time.perf_counter() - start))
            return statistics.median(samples)

        def sweep() -> dict:
            times, worst = [], 0.0
            for part in self.parts:
                call, error = self._prepare(system, part, rng)
                worst = max(worst, error)
                times.append(median_ms(call))
            # The largest error as a fraction of what each shape allows.
            return {"ms": sum(times), "load_ms": None, "max_error": worst, "correct": worst <= 1,
                    "parts_ms": dict(zip((p.name for p in self.parts), times, strict=True))}  # fmt: skip

        return sweep


register([MatmulSweep("matmul_sweep", 200, 3000)])
