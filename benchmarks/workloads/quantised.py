"""Matrix times vector with 4-bit weights that come from memory: the step that bounds text generation."""

from __future__ import annotations

import numpy as np

from ..workload import Call, Workload, register


class GemvQ4(Workload):
    """`x @ W.T` for float32 x [1, K] and several matrices W [N, K] in q4_0, one after the other.

    All matrices together are far larger than the caches, so that every call reads its weights from memory; the numbers
    are those of all products of a call.
    """

    roof = "dram"
    tolerance = 1e-5
    matrices = 12

    def __init__(self, name: str, n: int, k: int) -> None:
        super().__init__(name)
        self.n, self.k = n, k
        # 16 bytes of nibbles and 2 of scale for every 32 weights.
        self.bytes = self.matrices * (n * k / 32 * 18 + 4.0 * (n + k))
        self.flops = self.matrices * 2.0 * n * k

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        groups = self.k // 32
        x = rng.standard_normal((1, self.k), dtype=np.float32)
        storage = rng.integers(0, 256, (self.matrices, self.n, groups, 16), dtype=np.uint8)
        scales = rng.random((self.matrices, self.n, groups), dtype=np.float32).astype(np.float16)
        return x, storage, scales

    def reference(self, x: np.ndarray, storage: np.ndarray, scales: np.ndarray) -> np.ndarray:
        rows = []
        for q, d in zip(storage, scales, strict=True):
            # Byte j of a group: weight j in the low half, weight j + 16 in the high one, both with an offset of 8.
            values = np.concatenate([q & 15, q >> 4], axis=-1).astype(np.float64) - 8
            weights = values * d.astype(np.float64)[..., None]
            rows.append(x.astype(np.float64) @ weights.reshape(self.n, self.k).T)
        return np.concatenate(rows)

    def tilewright(self, x: np.ndarray, storage: np.ndarray, scales: np.ndarray) -> Call:
        import tilewright as tw

        weights = [
            tw.QuantizedTensor({"storage": q, "scales": d}, format="q4_0")
            for q, d in zip(storage, scales, strict=True)
        ]
        function = tw.jit(lambda w, x: tw.linear(x, w), weight_argnums=0)
        specs = tw.tree_map(lambda plane: tw.spec(plane.shape, plane.dtype.name), weights[0])
        compiled = function.lower(specs, tw.spec(x.shape, "float32")).compile()
        programs = [compiled.bind(w) for w in weights]
        results = np.empty((len(programs), self.n), np.float32)

        def call() -> np.ndarray:
            for row, program in enumerate(programs):
                results[row] = program(x)
            return results

        return call


register([GemvQ4("gemv_q4_4096", 4096, 4096)])
