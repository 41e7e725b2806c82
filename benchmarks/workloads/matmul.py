"""Dense matrix products: float32, bfloat16, int8, and one with a fused epilogue."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..onnx_graph import onnx_model
from ..workload import Call, Workload, bfloat16, register


class Matmul(Workload):
    """`a @ b` for float32 a [M, K] and b [K, N]."""

    roof = "f32"

    def __init__(self, name: str, m: int, n: int, k: int, threads: int | None = None) -> None:
        super().__init__(name)
        self.m, self.n, self.k, self.threads = m, n, k, threads
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
        return onnx_model([("MatMul", "ab", "c", {})], {"a": a, "b": b}, "c")


class Dense(Matmul):
    """`x @ w` with w [K, N] a weight, which may be packed ahead of time; the shapes of a transformer's layers."""

    weights_from = 1

    def tilewright(self, a: np.ndarray, b: np.ndarray) -> Call:
        import tilewright as tw

        layer = tw.jit(lambda w, x: x @ w, weight_argnums=0)
        specs = (tw.spec(array.shape, "float32") for array in (b, a))
        program = layer.lower(*specs).compile().bind(b)
        return lambda: program(a)

    def onnx_graph(self, a: np.ndarray, b: np.ndarray) -> bytes:
        return onnx_model([("MatMul", "ab", "c", {})], {"a": a}, "c", {"b": b})


class MatmulBf16(Matmul):
    """`a @ b` for bfloat16 a and b; the result is rounded to bfloat16."""

    roof = "bf16"
    excluded = frozenset({"numpy", "onnxruntime", "openvino"})

    def __init__(self, name: str, m: int, n: int, k: int) -> None:
        super().__init__(name, m, n, k)
        self.bytes /= 2
        self.tolerance = 2**-8  # half a unit of the last place of the largest element, and one more

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        a, b = (x.astype(bfloat16()) for x in super().inputs(rng))
        return a, b


class MatmulInt8(Matmul):
    """`a @ b` for int8 a and b, accumulated in int32, exactly."""

    roof = "int8"
    tolerance = 0.0
    excluded = frozenset({"numpy"})

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (
            rng.integers(-128, 128, (self.m, self.k), dtype=np.int8),
            rng.integers(-128, 128, (self.k, self.n), dtype=np.int8),
        )

    def tilewright(self, a: np.ndarray, b: np.ndarray) -> Call:
        import tilewright as tw

        matmul = tw.jit(
            lambda x, y: tw.dot_general(x, y, lhs_contract=(1,), rhs_contract=(0,), dtype="int32")
        )
        return lambda: matmul(a, b)

    def torch_expression(self, torch: Any, a: Any, b: Any) -> Any:
        return torch._int_mm(a, b)

    def jax_expression(self, jax: Any, a: Any, b: Any) -> Any:
        return jax.lax.dot(a, b, preferred_element_type=jax.numpy.int32)

    def onnx_graph(self, a: np.ndarray, b: np.ndarray) -> bytes:
        return onnx_model([("MatMulInteger", "ab", "c", {})], {"a": a, "b": b}, "c", output_type="int32")


class MatmulBiasGelu(Matmul):
    """`gelu(a @ b + bias)`, gelu in its tanh form: what fusing an epilogue is worth."""

    excluded = frozenset({"numpy", "onnxruntime", "openvino"})

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


register(Matmul(f"matmul_f32_{n}", n, n, n) for n in (512, 1024, 2048))
# The layers of SmolLM2-135M, MiniLM and GPT-2 (K × N), few rows, one thread.
LAYERS = ((576, 576), (576, 1536), (1536, 576), (384, 1536), (768, 3072))
register(
    Dense(f"matmul_f32_{m}x{k}x{n}", m, n, k, threads=1) for k, n in LAYERS for m in (8, 32, 128)
)  # fmt: skip
register([Dense("matmul_f32_1x576x1536", 1, 1536, 576)])
register(MatmulBf16(f"matmul_bf16_{n}", n, n, n) for n in (512, 1024, 2048))
register(MatmulInt8(f"matmul_int8_{n}", n, n, n) for n in (512, 1024))
register([MatmulBiasGelu("matmul_bias_gelu_512x768x3072", 512, 3072, 768)])
