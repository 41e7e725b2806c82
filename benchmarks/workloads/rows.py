"""Softmax and layer norm over the rows of a matrix: one pass over memory if they are one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..onnx_graph import onnx_model
from ..workload import Call, Workload, register


class Rows(Workload):
    """An operation on each row of float32 x [R, D]."""

    roof = "l3"  # 25 MB

    def __init__(self, name: str, rows: int, width: int) -> None:
        super().__init__(name)
        self.shape = (rows, width)
        self.bytes, self.flops = 8.0 * rows * width, 10.0 * rows * width

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.standard_normal(self.shape, dtype=np.float32),)


class Softmax(Rows):
    """`softmax(x, axis=-1)`."""

    def reference(self, x: np.ndarray) -> np.ndarray:
        e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def tilewright(self, x: np.ndarray) -> Call:
        import tilewright as tw

        softmax = tw.jit(lambda x: tw.nn.softmax(x, axis=-1))
        return lambda: softmax(x)

    def numpy_expression(self, x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def torch_expression(self, torch: Any, x: Any) -> Any:
        return torch.softmax(x, dim=-1)

    def jax_expression(self, jax: Any, x: Any) -> Any:
        return jax.nn.softmax(x, axis=-1)

    def onnx_graph(self, x: np.ndarray) -> bytes:
        return onnx_model([("Softmax", "x", "y", {"axis": -1})], {"x": x}, "y")


class LayerNorm(Rows):
    """Layer norm over the last dimension with weight and bias [D], eps 1e-5."""

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        width = self.shape[1]
        return (
            *super().inputs(rng),
            rng.standard_normal(width, dtype=np.float32),
            rng.standard_normal(width, dtype=np.float32),
        )

    def reference(self, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        y = x.astype(np.float64)
        y = y - y.mean(axis=-1, keepdims=True)
        return y / np.sqrt((y * y).mean(axis=-1, keepdims=True) + 1e-5) * w + b

    def tilewright(self, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Call:
        import tilewright as tw

        norm = tw.jit(lambda x, w, b: tw.nn.layer_norm(x, w, b, eps=1e-5))
        return lambda: norm(x, w, b)

    def torch_expression(self, torch: Any, x: Any, w: Any, b: Any) -> Any:
        return torch.nn.functional.layer_norm(x, w.shape, w, b, 1e-5)

    def jax_expression(self, jax: Any, x: Any, w: Any, b: Any) -> Any:
        y = x - x.mean(axis=-1, keepdims=True)
        return y * jax.lax.rsqrt((y * y).mean(axis=-1, keepdims=True) + 1e-5) * w + b

    def numba_kernel(self, numba: Any, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Call:
        @numba.njit(parallel=True, fastmath=True)
        def norm(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
            rows, width = x.shape
            out = np.empty_like(x)
            for i in numba.prange(rows):  # type: ignore[attr-defined]
                mean = np.float32(0)
                for j in range(width):
                    mean += x[i, j]
                mean /= np.float32(width)
                square = np.float32(0)
                for j in range(width):
                    square += (x[i, j] - mean) * (x[i, j] - mean)
                scale = np.float32(1) / np.sqrt(square / np.float32(width) + np.float32(1e-5))
                for j in range(width):
                    out[i, j] = (x[i, j] - mean) * scale * w[j] + b[j]
            return out

        return lambda: norm(x, w, b)

    def onnx_graph(self, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> bytes:
        nodes = [("LayerNormalization", "xwb", "y", {"axis": -1, "epsilon": 1e-5})]
        return onnx_model(nodes, {"x": x, "w": w, "b": b}, "y")


register([Softmax("softmax_4096x768", 4096, 768), LayerNorm("layernorm_4096x768", 4096, 768)])
