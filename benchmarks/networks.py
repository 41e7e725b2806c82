"""The operations that a network is written in, once for each system.

A network of the suite is one function of these operations. `NumpyNetwork` runs it in float64 and is the reference;
the others turn the same text into a program of Tilewright, torch, JAX or ONNX. Weights of dense layers are [N, K], as
the model files have them. Shape letters: B batch, S tokens, H heads, E width.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class NumpyNetwork:
    """The meaning: float64, one plain formula per operation."""

    def linear(self, x: Any, w: Any, b: Any) -> Any:
        """Return x [..., K] times w [N, K] plus b [N] (or None)."""
        y = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
        return y if b is None else y + np.asarray(b, np.float64)

    def embedding(self, ids: Any, table: Any) -> Any:
        """Return the rows [..., E] of table [V, E]."""
        return np.asarray(table[ids], np.float64)

    def add(self, a: Any, b: Any) -> Any:
        """Return a + b, broadcast."""
        return a + np.asarray(b, np.float64)

    def first_rows(self, table: Any, count: int) -> Any:
        """Return table[:count]."""
        return table[:count]

    def relu(self, x: Any) -> Any:
        """Return max(x, 0)."""
        return np.maximum(x, 0)

    def gelu(self, x: Any) -> Any:
        """Return gelu in its erf form. NumPy has no erf: the standard library's, one value at a time."""
        erf = np.fromiter(map(math.erf, (x / math.sqrt(2)).ravel().tolist()), np.float64, x.size)
        return 0.5 * x * (1 + erf.reshape(x.shape))

    def layer_norm(self, x: Any, w: Any, b: Any, eps: float) -> Any:
        """Normalise the last axis."""
        x = x - x.mean(axis=-1, keepdims=True)
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * w + b

    def attention(self, q: Any, k: Any, v: Any, heads: int, causal: bool) -> Any:
        """Return attention [B, S, E] of q, k, v [B, S, E] split into heads."""
        q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in (q, k, v))
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        if causal:
            scores = np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf)
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y = p / p.sum(axis=-1, keepdims=True) @ v
        return y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)

    def mean_of_tokens(self, x: Any) -> Any:
        """Return the mean [B, E] over axis 1 of [B, S, E]."""
        return x.mean(axis=1)

    def unit_length(self, x: Any) -> Any:
        """Divide rows by their length."""
        return x / np.linalg.norm(x, axis=-1, keepdims=True)


class TilewrightNetwork:
    """Traced by Tilewright."""

    def __init__(self, tw: Any) -> None:
        self.tw = tw

    def linear(self, x: Any, w: Any, b: Any) -> Any:
        return self.tw.linear(x, w, b)

    def embedding(self, ids: Any, table: Any) -> Any:
        return self.tw.nn.embedding(ids, table)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def first_rows(self, table: Any, count: int) -> Any:
        return table[:count]

    def relu(self, x: Any) -> Any:
        return self.tw.relu(x)

    def gelu(self, x: Any) -> Any:
        return self.tw.nn.gelu(x)

    def layer_norm(self, x: Any, w: Any, b: Any, eps: float) -> Any:
        return self.tw.nn.layer_norm(x, w, b, eps=eps)

    def attention(self, q: Any, k: Any, v: Any, heads: int, causal: bool) -> Any:
        tw, (batch, length, width) = self.tw, q.shape

        def split(x: Any) -> Any:
            return tw.transpose(tw.reshape(x, (batch, length, heads, width // heads)), (0, 2, 1, 3))

        y = tw.nn.attention(split(q), split(k), split(v), causal=causal)
        return tw.reshape(tw.transpose(y, (0, 2, 1, 3)), (batch, length, width))

    def mean_of_tokens(self, x: Any) -> Any:
        return x.mean(axis=1)

    def unit_length(self, x: Any) -> Any:
        return x / self.tw.sqrt((x * x).sum(axis=-1, keepdims=True))


class RoundedNetwork(TilewrightNetwork):
    """Traced by Tilewright, with activations in int8 where they meet a weight."""

    def linear(self, x: Any, w: Any, b: Any) -> Any:
        return self.tw.linear(x, w, b, activations="int8")


class TorchNetwork:
    """Eager torch, or what torch.compile captures."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.f = torch, torch.nn.functional

    def linear(self, x: Any, w: Any, b: Any) -> Any:
        return self.f.linear(x, w, b)

    def embedding(self, ids: Any, table: Any) -> Any:
        return self.f.embedding(ids, table)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def first_rows(self, table: Any, count: int) -> Any:
        return table[:count]

    def relu(self, x: Any) -> Any:
        return self.f.relu(x)

    def gelu(self, x: Any) -> Any:
        return self.f.gelu(x)

    def layer_norm(self, x: Any, w: Any, b: Any, eps: float) -> Any:
        return self.f.layer_norm(x, w.shape, w, b, eps)

    def attention(self, q: Any, k: Any, v: Any, heads: int, causal: bool) -> Any:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        return self.f.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)

    def mean_of_tokens(self, x: Any) -> Any:
        return x.mean(dim=1)

    def unit_length(self, x: Any) -> Any:
        return self.f.normalize(x, dim=-1)


class JaxNetwork:
    """Traced by JAX."""

    def __init__(self, jax: Any) -> None:
        self.jax, self.np = jax, jax.numpy

    def linear(self, x: Any, w: Any, b: Any) -> Any:
        y = x @ w.T
        return y if b is None else y + b

    def embedding(self, ids: Any, table: Any) -> Any:
        return table[ids]

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def first_rows(self, table: Any, count: int) -> Any:
        return table[:count]

    def relu(self, x: Any) -> Any:
        return self.jax.nn.relu(x)

    def gelu(self, x: Any) -> Any:
        return self.jax.nn.gelu(x, approximate=False)

    def layer_norm(self, x: Any, w: Any, b: Any, eps: float) -> Any:
        x = x - x.mean(axis=-1, keepdims=True)
        return x * self.jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + eps) * w + b

    def attention(self, q: Any, k: Any, v: Any, heads: int, causal: bool) -> Any:
        q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
        return self.jax.nn.dot_product_attention(q, k, v, is_causal=causal).reshape(*q.shape[:2], -1)

    def mean_of_tokens(self, x: Any) -> Any:
        return x.mean(axis=1)

    def unit_length(self, x: Any) -> Any:
        return x / self.np.sqrt((x * x).sum(axis=-1, keepdims=True))


SYSTEMS = {"torch": TorchNetwork, "jax": JaxNetwork}
