"""Elementwise chains and a full reduction: bound by memory, or by what a polynomial costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..workload import Call, Workload, register


class GeluChain(Workload):
    """`gelu(x · 1.1 + 0.3) · 0.7` for float32 x [N], gelu in its erf form; the output is fresh in every call."""

    def __init__(self, name: str, n: int) -> None:
        super().__init__(name)
        self.n, self.bytes, self.flops = n, 8.0 * n, 20.0 * n
        self.roof = "l3" if self.bytes < 1 << 24 else "dram"

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.standard_normal(self.n, dtype=np.float32),)

    def reference(self, x: np.ndarray) -> np.ndarray:
        y = x.astype(np.float64) * 1.1 + 0.3
        # NumPy has no erf: the standard library's, one value at a time, is the oracle.
        erf = np.fromiter(map(math.erf, (y / math.sqrt(2)).tolist()), np.float64, y.size)
        return 0.5 * y * (1 + erf) * 0.7

    def tilewright(self, x: np.ndarray) -> Call:
        import tilewright as tw

        chain = tw.jit(lambda x: tw.nn.gelu(x * 1.1 + 0.3) * 0.7)
        return lambda: chain(x)

    def torch_expression(self, torch: Any, x: Any) -> Any:
        return torch.nn.functional.gelu(x * 1.1 + 0.3) * 0.7

    def jax_expression(self, jax: Any, x: Any) -> Any:
        return jax.nn.gelu(x * 1.1 + 0.3, approximate=False) * 0.7


class Sum(Workload):
    """The sum of float32 x [N]; the error is held to 1e-6 of the sum."""

    roof = "dram"
    tolerance = 1e-6

    def __init__(self, name: str, n: int) -> None:
        super().__init__(name)
        self.n, self.bytes, self.flops = n, 4.0 * n, float(n)

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.random(self.n, dtype=np.float32),)

    def reference(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(np.sum(x, dtype=np.float64))

    def tilewright(self, x: np.ndarray) -> Call:
        import tilewright as tw

        total = tw.jit(lambda x: x.sum())
        return lambda: total(x)

    def numpy_expression(self, x: np.ndarray) -> Any:
        return x.sum()

    def torch_expression(self, torch: Any, x: Any) -> Any:
        return x.sum()

    def jax_expression(self, jax: Any, x: Any) -> Any:
        return x.sum()

    def numba_kernel(self, numba: Any, x: np.ndarray) -> Call:
        @numba.njit(parallel=True, fastmath=True)
        def total(x: np.ndarray) -> Any:
            s = np.float32(0)
            for i in numba.prange(x.size):  # type: ignore[attr-defined]
                s += x[i]
            return s

        return lambda: total(x)


register([GeluChain("gelu_1m", 1 << 20), GeluChain("gelu_16m", 1 << 24), Sum("sum_16m", 1 << 24)])
