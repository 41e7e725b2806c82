"""BERT-type encoders, written with the public API: sentence embeddings by mean pooling.

Shape letters: B sentences, S tokens of the longest one, E width, H heads, D = E / H, F width of the MLP.

Source: Devlin et al., "BERT" (2018); pooling after Reimers and Gurevych, "Sentence-BERT" (2019).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tilewright as tw

from ..errors import FormatError
from ..frontends.safetensors import SafetensorsFile

_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu")


@dataclass(frozen=True)
class BertConfig:
    """The numbers that a compiled encoder depends on.

    Attributes:
        layers: number of blocks.
        hidden: width E.
        heads: attention heads H.
        feed_forward: inner width F of the MLP.
        vocabulary: rows of the word table.
        positions: rows of the position table: the longest input.
        eps: added to the variance in LayerNorm.
        activation: name of the MLP's activation function, as in the model's `config.json`.
    """

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    eps: float = 1e-12
    activation: str = "gelu"

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> BertConfig:
        """Read a model's `config.json`.

        Raises:
            FormatError: the file is no JSON, describes another architecture, or lacks a value.
        """
        name = os.fspath(path)
        data = read_json(name)
        if data.get("model_type") != "bert":
            raise FormatError(f"{name}: 'model_type' is {data.get('model_type')!r}; supported is 'bert'")
        if data.get("position_embedding_type", "absolute") != "absolute":
            raise FormatError(f"{name}: 'position_embedding_type' must be 'absolute'")

        def size(key: str) -> int:
            value = data.get(key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise FormatError(f"{name}: '{key}' is {value!r}, expected a positive integer")
            return value

        eps, activation = data.get("layer_norm_eps", 1e-12), data.get("hidden_act", "gelu")
        if not isinstance(eps, float) or not 0 <= eps < 1:
            raise FormatError(f"{name}: 'layer_norm_eps' is {eps!r}, expected a small number")
        if activation not in _ACTIVATIONS:
            raise FormatError(
                f"{name}: 'hidden_act' is {activation!r}; supported are {', '.join(_ACTIVATIONS)}"
            )
        config = cls(
            size("num_hidden_layers"),
            size("hidden_size"),
            size("num_attention_heads"),
            size("intermediate_size"),
            size("vocab_size"),
            size("max_position_embeddings"),
            eps,
            activation,
        )
        if config.hidden % config.heads:
            raise FormatError(f"{name}: {config.heads} heads do not divide the width {config.hidden}")
        return config


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file that holds a JSON object; raise `FormatError` if it does not."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"{os.fspath(path)}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise FormatError(f"{os.fspath(path)}: expected a JSON object")
    return data


def load_weights(config: BertConfig, file: SafetensorsFile) -> dict[str, Any]:
    """Return the weight tree of an encoder as float32 arrays.

    Raises:
        FormatError: a tensor is missing or has another shape.
    """
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in file else ""
    hidden, inner = config.hidden, config.feed_forward

    def get(name: str, *shape: int) -> np.ndarray:
        array = file.require(prefix + name, shape)
        return array if array.dtype == np.float32 else array.astype(np.float32)

    def dense(name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
        return {"weight": get(f"{name}.weight", outputs, inputs), "bias": get(f"{name}.bias", outputs)}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"weight": get(f"{name}.weight", hidden), "bias": get(f"{name}.bias", hidden)}

    layers = []
    for index in range(config.layers):
        at = f"encoder.layer.{index}"
        layers.append(
            {
                "query": dense(f"{at}.attention.self.query", hidden, hidden),
                "key": dense(f"{at}.attention.self.key", hidden, hidden),
                "value": dense(f"{at}.attention.self.value", hidden, hidden),
                "output": dense(f"{at}.attention.output.dense", hidden, hidden),
                "norm": norm(f"{at}.attention.output.LayerNorm"),
                "up": dense(f"{at}.intermediate.dense", inner, hidden),
                "down": dense(f"{at}.output.dense", hidden, inner),
                "norm_mlp": norm(f"{at}.output.LayerNorm"),
            }
        )
    # Sentences are single segments, so of the segment table only the first row is ever added.
    segments = file.require(prefix + "embeddings.token_type_embeddings.weight")
    if segments.ndim != 2 or segments.shape[0] < 1 or segments.shape[1] != hidden:
        raise FormatError(f"{file.path}: tensor 'embeddings.token_type_embeddings.weight' has another shape")
    return {
        "words": get("embeddings.word_embeddings.weight", config.vocabulary, hidden),
        "positions": get("embeddings.position_embeddings.weight", config.positions, hidden),
        "segment": np.ascontiguousarray(segments[0], dtype=np.float32),
        "norm": norm("embeddings.LayerNorm"),
        "layers": layers,
    }


def _dense(x: Any, weight: Mapping[str, Any]) -> Any:
    """Return `x @ weight.T + bias` for `x` [B, S, I]."""
    return tw.linear(x, weight["weight"], weight["bias"])


def _norm(config: BertConfig, x: Any, weight: Mapping[str, Any]) -> Any:
    return tw.nn.layer_norm(x, weight["weight"], weight["bias"], eps=config.eps)


def _activate(config: BertConfig, x: Any) -> Any:
    if config.activation == "relu":
        return tw.numpy.maximum(x, 0.0)
    if config.activation == "silu":
        return tw.nn.silu(x)
    return tw.nn.gelu(x, approximate="none" if config.activation == "gelu" else "tanh")


def _attention(config: BertConfig, layer: Mapping[str, Any], x: Any, mask: Any) -> Any:
    batch, length = x.shape[0], x.shape[1]
    width = config.hidden // config.heads

    def heads(name: str) -> Any:
        y = tw.numpy.reshape(_dense(x, layer[name]), (batch, length, config.heads, width))
        return tw.numpy.permute_dims(y, (0, 2, 1, 3))

    y = tw.nn.attention(heads("query"), heads("key"), heads("value"), mask=mask)
    y = tw.numpy.reshape(tw.numpy.permute_dims(y, (0, 2, 1, 3)), (batch, length, config.hidden))
    return _dense(y, layer["output"])


def hidden_states(config: BertConfig, weights: Mapping[str, Any], ids: Any, mask: Any) -> Any:
    """Return the last hidden states.

    Args:
        config: the sizes.
        weights: the tree of `load_weights`.
        ids: int32 `[B, S]`.
        mask: bool `[B, S]`, True for tokens, False for padding.

    Returns:
        float32 `[B, S, E]`; rows of padding hold numbers without meaning.
    """
    batch, length = ids.shape
    words = tw.nn.embedding(ids, weights["words"])
    rest = weights["positions"][:length] + tw.numpy.broadcast_to(weights["segment"], (length, config.hidden))
    x = _norm(config, words + tw.numpy.broadcast_to(rest, words.shape), weights["norm"])
    # The lowest float, not -inf: a sentence without tokens must not turn its whole row into NaN.
    lowest = float(np.finfo(np.float32).min)
    bias = (1.0 - mask.astype("float32")) * lowest
    bias = tw.numpy.reshape(bias, (batch, 1, 1, length))
    for layer in weights["layers"]:
        x = _norm(config, x + _attention(config, layer, x, bias), layer["norm"])
        inner = _activate(config, _dense(x, layer["up"]))
        x = _norm(config, x + _dense(inner, layer["down"]), layer["norm_mlp"])
    return x


def embed(config: BertConfig, weights: Mapping[str, Any], ids: Any, mask: Any) -> Any:
    """Return sentence embeddings: the mean of the tokens' states, scaled to length one.

    Args, shapes: as `hidden_states`.

    Returns:
        float32 `[B, E]`.
    """
    x = hidden_states(config, weights, ids, mask)
    weight = mask.astype("float32")
    weighted = x * tw.numpy.broadcast_to(tw.numpy.expand_dims(weight, axis=2), x.shape)
    total = tw.numpy.sum(weighted, axis=1)
    count = tw.numpy.maximum(tw.numpy.sum(weight, axis=1, keepdims=True), 1e-9)
    mean = total / tw.numpy.broadcast_to(count, total.shape)
    length = tw.numpy.sqrt(tw.numpy.sum(mean * mean, axis=1, keepdims=True))
    return mean / tw.numpy.broadcast_to(tw.numpy.maximum(length, 1e-12), mean.shape)
