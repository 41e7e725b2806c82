"""The Llama architecture, written with the public API: one function for prompts, one for single tokens.

Shape letters: S tokens of this call, T positions up to and with them, C positions the cache has room for, E width of
the residual stream, H query heads, Hkv key and value heads, D width of a head, F width of the MLP, V vocabulary.

Where the tokens stand is told by shapes alone: `positions` has length T, so the first token is at T - S. That way every
size in the program follows from the arguments' shapes, and nothing must be read back from data to know it.

Source: Touvron et al., "LLaMA" (2023); grouped heads after Ainslie et al., "GQA" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tilewright as tw

from .llama_config import LlamaConfig

Cache = list[tuple[Any, Any]]


def linear(config: LlamaConfig, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return x @ weight.T + bias; `x` is rounded first if the config says so and the weight is quantised itself."""
    rounds = isinstance(weight, tw.QuantizedTensor)
    return tw.linear(x, weight, bias, activations=config.activations if rounds else "float32")


def rotate(x: Any, cos: Any, sin: Any, rotary: int) -> Any:
    """Apply the rotary embedding to `x` [.., S, D]; only the first `rotary` dims of each head turn.

    The rows of GGUF's query and key weights are permuted so that neighbouring elements form the pairs.
    """
    if rotary == x.shape[-1]:
        return tw.nn.rope(x, cos, sin, interleaved=True)
    turned = tw.nn.rope(x[..., :rotary], cos, sin, interleaved=True)
    return tw.numpy.concat([turned, x[..., rotary:]], axis=-1)


def attention(
    config: LlamaConfig,
    layer: Mapping[str, Any],
    x: Any,
    cache: tuple[Any, Any],
    seen: Any,
    rope: tuple[Any, Any],
) -> tuple[Any, tuple[Any, Any]]:
    """Attend from the S tokens of `x` [S, E] to all T positions up to them.

    Args:
        cache: keys `[Hkv, C, D]` and values `[Hkv, C, Dv]` of the positions before.
        seen: T, a size.
        rope: rows of the rotary tables for the tokens, cosines and sines `[S, rotary / 2]`.

    Returns:
        The result `[S, E]` and the caches with the tokens' keys and values written at their positions.
    """
    length = x.shape[0]

    def heads(name: str, count: int, width: int) -> Any:
        y = linear(config, x, layer[name], layer.get(name + "_bias"))
        return tw.numpy.permute_dims(tw.numpy.reshape(y, (length, count, width)), (1, 0, 2))

    q = rotate(heads("attn_q", config.heads, config.head_dim), *rope, config.rotary)
    k = rotate(heads("attn_k", config.kv_heads, config.head_dim), *rope, config.rotary)
    v = heads("attn_v", config.kv_heads, config.value_dim)
    keys = tw.update_slice(cache[0], k, (0, seen - length, 0))
    values = tw.update_slice(cache[1], v, (0, seen - length, 0))
    y = tw.nn.attention(q[None], keys[None, :, :seen], values[None, :, :seen], causal=True)
    y = tw.numpy.reshape(tw.numpy.permute_dims(y[0], (1, 0, 2)), (length, config.heads * config.value_dim))
    return linear(config, y, layer["attn_output"]), (keys, values)


def feed_forward(config: LlamaConfig, layer: Mapping[str, Any], x: Any) -> Any:
    """Return the gated MLP (SwiGLU) of `x` [S, E]."""
    gate = tw.nn.silu(linear(config, x, layer["ffn_gate"]))
    return linear(config, gate * linear(config, x, layer["ffn_up"]), layer["ffn_down"])


def forward(
    config: LlamaConfig,
    weights: Mapping[str, Any],
    rope: tuple[Any, Any],
    cache: Sequence[tuple[Any, Any]],
    tokens: Any,
    positions: Any,
) -> tuple[Any, Cache]:
    """Run all blocks.

    Args:
        config: the sizes.
        weights: `embedding` [V, E], `norm` [E], `output` [V, E] unless tied, and the list `layers`.
        rope: cosines and sines of the tokens' positions, `[S, rotary / 2]` each.
        cache: per layer, keys `[Hkv, C, D]` and values `[Hkv, C, Dv]`.
        tokens: int32 `[S]`.
        positions: int32 `[T]`, T >= S; only its length counts.

    Returns:
        The normalised hidden states `[S, E]` and the updated cache.
    """
    seen = positions.shape[0]
    # Activations are float32 whatever the table is stored in.
    x = tw.nn.embedding(tokens, weights["embedding"]).astype("float32")
    updated: Cache = []
    for layer, entry in zip(weights["layers"], cache, strict=True):
        normed = tw.nn.rms_norm(x, layer["attn_norm"], eps=config.eps)
        y, entry = attention(config, layer, normed, entry, seen, rope)
        x = x + y
        x = x + feed_forward(config, layer, tw.nn.rms_norm(x, layer["ffn_norm"], eps=config.eps))
        updated.append(entry)
    return tw.nn.rms_norm(x, weights["norm"], eps=config.eps), updated


def head(config: LlamaConfig, weights: Mapping[str, Any], x: Any) -> Any:
    """Return logits `[S, V]` of hidden states `[S, E]`; tied models use the embedding table."""
    return linear(config, x, weights["output"] if "output" in weights else weights["embedding"])


def next_logits(config: LlamaConfig, weights: Any, rope: Any, cache: Any, tokens: Any, positions: Any) -> Any:
    """Process tokens and return the logits `[V]` that follow the last one, with the updated cache.

    Of a prompt only the last row meets the output matrix, which is the largest of all.
    """
    x, cache = forward(config, weights, rope, cache, tokens, positions)
    return head(config, weights, x[-1:])[0], cache


def all_logits(config: LlamaConfig, weights: Any, rope: Any, cache: Any, tokens: Any, positions: Any) -> Any:
    """Process tokens and return the logits `[S, V]` after each of them, with the updated cache."""
    x, cache = forward(config, weights, rope, cache, tokens, positions)
    return head(config, weights, x), cache
