"""Scaled dot-product attention without the S × S matrix in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..onnx_graph import onnx_model
from ..workload import Call, Workload, register


class Attention(Workload):
    """Attention of float32 q, k, v [1, H, S, D], not causal."""

    roof = "f32"

    def __init__(self, name: str, heads: int, length: int, width: int) -> None:
        super().__init__(name)
        self.shape = (1, heads, length, width)
        self.flops = 4.0 * heads * length * length * width
        self.bytes = 16.0 * heads * length * width

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        q, k, v = (rng.standard_normal(self.shape, dtype=np.float32) for _ in range(3))
        return q, k, v

    def reference(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        q, k, v = (x.astype(np.float64) for x in (q, k, v))
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v

    def tilewright(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        import tilewright as tw

        attention = tw.jit(tw.nn.attention)
        return lambda: attention(q, k, v)

    def torch_expression(self, torch: Any, q: Any, k: Any, v: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    def jax_expression(self, jax: Any, q: Any, k: Any, v: Any) -> Any:
        p = jax.nn.softmax(jax.numpy.einsum("bhsd,bhtd->bhst", q, k) * q.shape[-1] ** -0.5, axis=-1)
        return jax.numpy.einsum("bhst,bhtd->bhsd", p, v)

    def onnx_graph(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> bytes:
        nodes = [
            ("Transpose", "k", "t", {"perm": [0, 1, 3, 2]}),
            ("MatMul", "qt", "s", {}),
            ("Mul", "sc", "m", {}),
            ("Softmax", "m", "p", {"axis": -1}),
            ("MatMul", "pv", "o", {}),
        ]
        scale = {"c": np.array(q.shape[-1] ** -0.5, np.float32)}
        return onnx_model(nodes, {"q": q, "k": k, "v": v}, "o", scale)


register([Attention("attention_9x512x64", 9, 512, 64)])
