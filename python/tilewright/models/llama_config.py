"""What a Llama program depends on, and what is only data: sizes, and the tables of the rotary embedding."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import FormatError
from ..frontends.gguf import GGUFFile

_LIMIT = 1 << 24


@dataclass(frozen=True)
class LlamaConfig:
    """The numbers that a compiled program of the architecture depends on; files that agree in them share programs.

    Attributes:
        layers: number of blocks.
        hidden: width E of the residual stream.
        heads: query heads H.
        kv_heads: key and value heads Hkv; H is a multiple of it.
        head_dim: width D of one head of queries and keys.
        value_dim: width Dv of one head of values.
        feed_forward: inner width F of the gated MLP.
        vocabulary: number of tokens V.
        rotary: leading dims of a head that are rotated, even, <= D.
        eps: added to the mean square in RMSNorm.
        activations: what meets quantised weights in products, as `tw.linear` takes it.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    feed_forward: int
    vocabulary: int
    rotary: int
    eps: float
    activations: str = "float32"

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> LlamaConfig:
        """Read and check the sizes.

        Raises:
            FormatError: another architecture, a missing or impossible value, or a feature that is not supported.
        """
        architecture = file.metadata.require("general.architecture", str)
        if architecture != "llama":
            raise FormatError(
                f"{file.path}: metadata 'general.architecture' is '{architecture}'; supported is 'llama'"
            )
        read = _Reader(file)
        hidden, heads = read.size("embedding_length"), read.size("attention.head_count")
        if "llama.attention.key_length" not in file.metadata and hidden % heads:
            raise read.fail("attention.head_count", f"{heads} heads do not divide the width {hidden}")
        head_dim = read.size("attention.key_length", hidden // heads)
        config = cls(
            layers=read.size("block_count"),
            hidden=hidden,
            heads=heads,
            kv_heads=read.size("attention.head_count_kv", heads),
            head_dim=head_dim,
            value_dim=read.size("attention.value_length", head_dim),
            feed_forward=read.size("feed_forward_length"),
            vocabulary=file.tensor("token_embd.weight").shape[0],
            rotary=read.size("rope.dimension_count", head_dim),
            eps=read.number("attention.layer_norm_rms_epsilon"),
        )
        if config.layers > len(file.tensors):
            raise read.fail("block_count", f"{config.layers} blocks in a file of {len(file.tensors)} tensors")
        if config.heads % config.kv_heads:
            raise read.fail(
                "attention.head_count_kv", f"{config.kv_heads} does not divide {config.heads} heads"
            )
        if config.rotary % 2 or config.rotary > config.head_dim:
            raise read.fail(
                "rope.dimension_count", f"{config.rotary} is odd or exceeds the head's {head_dim}"
            )
        if not 0 <= config.eps < 1:
            raise read.fail("attention.layer_norm_rms_epsilon", f"{config.eps} is no small positive number")
        if file.metadata.optional("llama.expert_count", int, 0):
            raise read.fail("expert_count", "mixtures of experts are not supported")
        return config

    def as_json(self) -> dict[str, Any]:
        """Return plain data, as cache keys need it."""
        return asdict(self)


@dataclass(frozen=True)
class Rope:
    """The rotary embedding of a file; it enters programs as tables, so its base and scaling are data.

    Attributes:
        rotary: rotated dims of a head.
        base: the largest wavelength is about 2 pi times it.
        scale: positions are divided by it (linear scaling).
        factors: `[rotary / 2]` divisors of the frequencies, or None (Llama 3's long contexts).
    """

    rotary: int
    base: float
    scale: float = 1.0
    factors: np.ndarray | None = None

    @classmethod
    def from_gguf(cls, file: GGUFFile, config: LlamaConfig) -> Rope:
        """Read base, scaling and frequency factors.

        Raises:
            FormatError: a scaling that is not supported, or factors of the wrong shape.
        """
        read = _Reader(file)
        kind = file.metadata.optional("llama.rope.scaling.type", str, "none")
        if kind not in ("none", "linear"):
            raise read.fail("rope.scaling.type", f"'{kind}' is not supported (none, linear)")
        # Older files carry the factor under another name and no type.
        factor = read.number("rope.scale_linear", 1.0)
        scale = read.number("rope.scaling.factor", factor) if kind == "linear" else factor
        base = read.number("rope.freq_base", 10000.0)
        if not (base > 0 and scale > 0):
            raise read.fail("rope.freq_base", f"base {base} and scaling factor {scale} must be positive")
        factors = None
        if "rope_freqs.weight" in file.tensors:
            factors = file.raw("rope_freqs.weight")
            if factors.shape != (config.rotary // 2,) or factors.dtype != np.float32:
                raise FormatError(
                    f"{file.path}: tensor 'rope_freqs.weight' is {factors.dtype}{list(factors.shape)}, "
                    f"expected float32[{config.rotary // 2}]"
                )
        return cls(config.rotary, base, scale, factors)

    def tables(self, context: int) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and sines, each `float32 [context, rotary / 2]`, one row per position.

        Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021), section 3.4.
        """
        # In float64: at large positions a float32 angle has lost the digits that matter.
        frequencies = self.base ** (-np.arange(0, self.rotary, 2) / self.rotary) / self.scale
        if self.factors is not None:
            frequencies = frequencies / self.factors
        angles = np.arange(context)[:, None] * frequencies
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


class _Reader:
    """Numbers of the file's `llama.*` metadata, checked."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file

    def fail(self, key: str, what: str) -> FormatError:
        return FormatError(f"{self.file.path}: metadata 'llama.{key}': {what}")

    def size(self, key: str, default: int | None = None) -> int:
        name = "llama." + key
        meta = self.file.metadata
        value = meta.require(name, int) if default is None else meta.optional(name, int, default)
        if not 0 < value <= _LIMIT:
            raise self.fail(key, f"{value} is outside 1..{_LIMIT}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        name = "llama." + key
        meta = self.file.metadata
        value = meta.require(name, float) if default is None else meta.optional(name, float, default)
        if not math.isfinite(value):
            raise self.fail(key, f"{value} is not finite")
        return value
