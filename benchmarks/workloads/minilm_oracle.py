"""MiniLM in plain NumPy, float64: the reference of the embedding workloads, sharing no code with tilewright.models."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np


def load(path: Path) -> dict[str, np.ndarray]:
    """Return the float32 tensors of a safetensors file as float64."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + size + begin : 8 + size + end], np.float32)
        tensors[name.removeprefix("bert.")] = array.reshape(entry["shape"]).astype(np.float64)
    return tensors


def embed(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Return normalised mean-pooled embeddings [B, E] of ids [B, S] without padding."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    w = load(folder / "model.safetensors")
    heads, layers, eps = config["num_attention_heads"], config["num_hidden_layers"], config["layer_norm_eps"]
    batch, length = ids.shape

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        return (
            x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]
        )

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def split(x: np.ndarray) -> np.ndarray:
        return x.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:length]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        q, k, v = (split(linear(x, f"{layer}.attention.self.{name}")) for name in ("query", "key", "value"))
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y = (p / p.sum(axis=-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(x + linear(y, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        y = linear(x, f"{layer}.intermediate.dense")
        erf = np.fromiter(map(math.erf, (y / math.sqrt(2)).ravel().tolist()), np.float64, y.size).reshape(
            y.shape
        )
        y = linear(0.5 * y * (1 + erf), f"{layer}.output.dense")
        x = norm(x + y, f"{layer}.output.LayerNorm")
    pooled = x.mean(axis=1)
    return pooled / np.linalg.norm(pooled, axis=-1, keepdims=True)
