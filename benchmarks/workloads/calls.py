"""What a call costs when there is next to nothing to compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..workload import Call, Workload, register


class CallAdd(Workload):
    """`a + b` for two float32 arrays [8]."""

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return rng.standard_normal(8, dtype=np.float32), rng.standard_normal(8, dtype=np.float32)

    def reference(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a.astype(np.float64) + b

    def tilewright(self, a: np.ndarray, b: np.ndarray) -> Call:
        import tilewright as tw

        add = tw.jit(lambda x, y: x + y)
        return lambda: add(a, b)

    def numpy_expression(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b

    def torch_expression(self, torch: Any, a: Any, b: Any) -> Any:
        return a + b

    def jax_expression(self, jax: Any, a: Any, b: Any) -> Any:
        return a + b

    def numba_kernel(self, numba: Any, a: np.ndarray, b: np.ndarray) -> Call:
        add = numba.njit(lambda x, y: x + y)
        return lambda: add(a, b)


register([CallAdd("call_add8")])
