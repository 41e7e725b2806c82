"""Dense matrix products, alone and with a fused epilogue."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..systems import onnx_model
from ..workload import Call, Workload, register


class Matmul(Workload):
    """`a @ b` for float32 a [M, K] and b [K, N]."""

    roof = "f32"

    def __init__(self, name: str, m: int, n: int, k: int) -> None:
        super().__init__(name)
        self.m, self.n, self.k = m, n, k
        self.flops = 2.0 * m * n * k
        self.bytes = 4.0 * (m * k + k * n + m * n)
        self.tolerance = 2e-7 * k**0.5 + 1e-6

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (
            rng.standard_normal((self.m, self.k), dtype=np.float32),
            rng.standard_normal((self.k, self.n), dtype=np.float32),
        )

    def reference(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a.astype(np.float64) @ b.astype(np.float64)

    def tilewright(self, a: np.ndarray, b: np.ndarray) -> Call:
        import tilewright as tw

        matmul = tw.jit(lambda x, y: x @ y)
        return lambda: matmul(a, b)

    def numpy_expression(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a @ b

    def torch_expression(self, torch: Any, a: Any, b: Any) -> Any:
        return a @ b

    def jax_expression(self, jax: Any, a: Any, b: Any) -> Any:
        return a @ b

    def onnx_graph(self, a: np.ndarray, b: np.ndarray) -> bytes:
        return onnx_model([("MatMul", "ab", "c", {})], {"a": a.shape, "b": b.shape}, "c")


class MatmulBiasGelu(Matmul):
    """`gelu(a @ b + bias)`, gelu in its tanh form: what fusing an epilogue is worth."""

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (*super().inputs(rng), rng.standard_normal(self.n, dtype=np.float32))

    def reference(self, a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> np.ndarray:  # type: ignore[override]
        y = a.astype(np.float64) @ b.astype(np.float64) + bias
        return 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))

    def tilewright(self, a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> Call:  # type: ignore[override]
        import tilewright as tw

        block = tw.jit(lambda x, w, c: tw.nn.gelu(x @ w + c, approximate="tanh"))
        return lambda: block(a, b, bias)

    def torch_expression(self, torch: Any, a: Any, b: Any, bias: Any) -> Any:  # type: ignore[override]
        return torch.nn.functional.gelu(torch.addmm(bias, a, b), approximate="tanh")

    def jax_expression(self, jax: Any, a: Any, b: Any, bias: Any) -> Any:  # type: ignore[override]
        return jax.nn.gelu(a @ b + bias, approximate=True)

    numpy_expression = None  # type: ignore[assignment]
    onnx_graph = None  # type: ignore[assignment]


register(Matmul(f"matmul_f32_{n}", n, n, n) for n in (512, 1024, 2048))
register(Matmul(f"matmul_f32_{m}x576x1536", m, 1536, 576) for m in (1, 8, 128))
register([MatmulBiasGelu("matmul_bias_gelu_512x768x3072", 512, 3072, 768)])
