"""The Llama architecture in plain NumPy: the oracle of the model tests, sharing no code with tilewright.models.

Weights come dequantised by the `gguf` package. It recomputes the whole sequence for each call; there is no cache that
could be wrong.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np


class Oracle:
    """A model file as dense arrays of `dtype`."""

    def __init__(self, path: str | Path, dtype=np.float32) -> None:
        reader = gguf.GGUFReader(str(path))
        self.dtype = dtype
        self.weights = {
            t.name: gguf.dequantize(t.data, t.tensor_type).astype(dtype).reshape(t.shape[::-1])
            for t in reader.tensors
        }

        def field(name: str, default=None):
            entry = reader.get_field("llama." + name)
            return default if entry is None else entry.contents()

        self.layers = field("block_count")
        self.heads = field("attention.head_count")
        self.kv_heads = field("attention.head_count_kv", self.heads)
        self.hidden = field("embedding_length")
        self.head_dim = field("attention.key_length", self.hidden // self.heads)
        self.rotary = field("rope.dimension_count", self.head_dim)
        self.base = field("rope.freq_base", 10000.0)
        self.eps = field("attention.layer_norm_rms_epsilon")
        self.linear_scale = (
            field("rope.scaling.factor", 1.0) if field("rope.scaling.type") == "linear" else 1.0
        )

    def norm(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.dtype(self.eps)) * weight

    def rope(self, x: np.ndarray) -> np.ndarray:
        """Rotate neighbouring pairs of `x` [H, S, D], the order of GGUF's permuted weights."""
        steps = np.arange(x.shape[1], dtype=np.float64)[:, None] / self.linear_scale
        frequencies = self.base ** (-np.arange(0, self.rotary, 2) / self.rotary)
        if "rope_freqs.weight" in self.weights:
            frequencies = frequencies / self.weights["rope_freqs.weight"]
        z = np.exp(1j * steps * frequencies)
        pairs = (x[..., 0 : self.rotary : 2] + 1j * x[..., 1 : self.rotary : 2]) * z
        out = x.copy()
        out[..., 0 : self.rotary : 2], out[..., 1 : self.rotary : 2] = pairs.real, pairs.imag
        return out

    def attention(self, h: np.ndarray, name: str) -> np.ndarray:
        w, length, group = self.weights, h.shape[0], self.heads // self.kv_heads

        def heads(kind: str, count: int) -> np.ndarray:
            y = h @ w[f"{name}.attn_{kind}.weight"].T
            if f"{name}.attn_{kind}.bias" in w:
                y = y + w[f"{name}.attn_{kind}.bias"]
            return y.reshape(length, count, -1).transpose(1, 0, 2)

        q = self.rope(heads("q", self.heads))
        k, v = self.rope(heads("k", self.kv_heads)), heads("v", self.kv_heads)
        hidden_future = np.triu(np.ones((length, length), bool), 1)
        out = np.empty((length, self.heads, v.shape[-1]), self.dtype)
        for head in range(self.heads):
            scores = q[head] @ k[head // group].T / self.dtype(np.sqrt(self.head_dim))
            scores[hidden_future] = -np.inf
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = scores / scores.sum(-1, keepdims=True) @ v[head // group]
        return out.reshape(length, -1) @ w[f"{name}.attn_output.weight"].T

    def __call__(self, ids: list[int]) -> np.ndarray:
        """Return the logits `[S, V]` of all positions."""
        w = self.weights
        x = w["token_embd.weight"][np.asarray(ids)]
        for layer in range(self.layers):
            name = f"blk.{layer}"
            x = x + self.attention(self.norm(x, w[f"{name}.attn_norm.weight"]), name)
            h = self.norm(x, w[f"{name}.ffn_norm.weight"])
            gate = h @ w[f"{name}.ffn_gate.weight"].T
            x = (
                x
                + (gate / (1 + np.exp(-gate)) * (h @ w[f"{name}.ffn_up.weight"].T))
                @ w[f"{name}.ffn_down.weight"].T
            )
        x = self.norm(x, w["output_norm.weight"])
        return x @ w.get("output.weight", w["token_embd.weight"]).T

    def greedy(self, ids: list[int], count: int) -> list[int]:
        """Continue `ids` by the most likely tokens."""
        sequence = list(ids)
        for _ in range(count):
            sequence.append(int(np.argmax(self(sequence)[-1])))
        return sequence[len(ids) :]
