"""The weights of a GGUF file as a tree of arguments, and as arrays that are made when they are asked for.

A plain weight is one array; a quantised one is a `tw.QuantizedTensor` whose planes are split out of the file's blocks.
Splitting copies, so it happens one weight at a time and the file's pages are given back: memory never holds the model
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tilewright as tw

from .. import formats
from ..errors import FormatError
from ..frontends.gguf import GGUFFile
from .llama_config import LlamaConfig


def llama_names(config: LlamaConfig, file: GGUFFile) -> dict[str, Any]:
    """Return the weight tree of the architecture with (name in the file, expected shape) at the leaves."""
    c = config
    q, k, v = c.heads * c.head_dim, c.kv_heads * c.head_dim, c.kv_heads * c.value_dim
    parts: dict[str, tuple[int, ...]] = {
        "attn_norm": (c.hidden,),
        "attn_q": (q, c.hidden),
        "attn_k": (k, c.hidden),
        "attn_v": (v, c.hidden),
        "attn_output": (c.hidden, c.heads * c.value_dim),
        "ffn_norm": (c.hidden,),
        "ffn_gate": (c.feed_forward, c.hidden),
        "ffn_up": (c.feed_forward, c.hidden),
        "ffn_down": (c.hidden, c.feed_forward),
    }
    biases = {"attn_q": (q,), "attn_k": (k,), "attn_v": (v,)}
    layers = []
    for index in range(c.layers):
        layer = {name: (f"blk.{index}.{name}.weight", shape) for name, shape in parts.items()}
        for name, shape in biases.items():
            if f"blk.{index}.{name}.bias" in file.tensors:
                layer[name + "_bias"] = (f"blk.{index}.{name}.bias", shape)
        layers.append(layer)
    # Programs take their weights in the order of the names. The embedding, the largest, comes first: what binding it
    # needs for a moment is gone before the others are there.
    tree: dict[str, Any] = {
        "embedding": ("token_embd.weight", (c.vocabulary, c.hidden)),
        "norm": ("output_norm.weight", (c.hidden,)),
        "layers": layers,
    }
    if "output.weight" in file.tensors:
        tree["output"] = ("output.weight", (c.vocabulary, c.hidden))
    used = {name for name, _ in _leaves(tree)} | {"rope_freqs.weight"}
    unused = sorted(set(file.tensors) - used)
    if unused:
        # A tensor nobody reads is a variant of the architecture that would compute something else.
        raise FormatError(
            f"{file.path}: tensor '{unused[0]}' is not part of the supported Llama architecture"
        )
    return tree


def _leaves(tree: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    if isinstance(tree, tuple):
        yield tree
    else:
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(item)


def _map(tree: Any, make: Callable[[str, tuple[int, ...]], Any]) -> Any:
    if isinstance(tree, tuple):
        return make(*tree)
    if isinstance(tree, dict):
        return {key: _map(item, make) for key, item in tree.items()}
    return [_map(item, make) for item in tree]


def specs(file: GGUFFile, names: Any) -> Any:
    """Return the tree with `tw.spec` (or a `tw.QuantizedTensor` of specs) at the leaves.

    Raises:
        FormatError: a tensor is missing, has another shape, or a format that Tilewright does not compute with.
    """

    def make(name: str, shape: tuple[int, ...]) -> Any:
        tensor = file.tensor(name)
        if tensor.shape != shape:
            raise FormatError(
                f"{file.path}: tensor '{name}' has shape {list(tensor.shape)}, expected {list(shape)}"
            )
        kind = tensor.type.name
        if len(shape) == 1 and kind != "f32":
            raise FormatError(f"{file.path}: tensor '{name}' is {kind}, expected f32")
        if not tensor.quantised:
            dtype = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}.get(kind)
            if dtype is None:
                raise FormatError(f"{file.path}: tensor '{name}' is {kind}, expected a float type")
            return tw.spec(shape, dtype)
        if kind not in formats.FORMATS:
            known = ", ".join(sorted(name for name, row in formats.FORMATS.items() if row.is_block))
            raise FormatError(
                f"{file.path}: tensor '{name}' is quantised as {kind}, which is not supported; supported are {known}"
            )
        planes = {
            plane: tw.spec(plane_shape, dtype.name)
            for plane, (plane_shape, dtype) in formats.plane_specs(kind, shape).items()
        }
        return tw.QuantizedTensor(planes, format=kind, shape=shape)

    return _map(names, make)


def arrays(file: GGUFFile, names: Any) -> Any:
    """Return the tree with arrays (or a `tw.QuantizedTensor` of planes) at the leaves, all in memory at once."""
    return _map(names, lambda name, shape: _load(file, name))


def _load(file: GGUFFile, name: str) -> Any:
    tensor = file.tensor(name)
    if not tensor.quantised:
        return file.raw(name)
    planes = formats.split(tensor.type.name, file.raw(name), tensor.shape)
    return tw.QuantizedTensor(planes, format=tensor.type.name, shape=tensor.shape)


class LazyPlanes(Mapping[str, np.ndarray]):
    """Arrays by the names that programs give their weights, made on access.

    The planes of the tensor accessed last are kept, since a program asks for them one after the other; those before
    are dropped, and their pages of the file with them.

    Args:
        file: the open file.
        names: the tree of `llama_names`.
        root: what the weight argument of the program is called.
    """

    def __init__(self, file: GGUFFile, names: Any, root: str = "weights") -> None:
        self._file = file
        self._sources: dict[str, tuple[str, str | None]] = {}
        self._collect(names, root)
        self._current: tuple[str, dict[str, np.ndarray]] | None = None

    def _collect(self, tree: Any, path: str) -> None:
        if isinstance(tree, tuple):
            tensor = self._file.tensor(tree[0])
            planes = formats.plane_specs(tensor.type.name, tensor.shape) if tensor.quantised else (None,)
            for plane in planes:
                self._sources[path if plane is None else f"{path}.{plane}"] = (tree[0], plane)
            return
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            self._collect(item, f"{path}.{key}")

    def __getitem__(self, name: str) -> np.ndarray:
        tensor, plane = self._sources[name]
        if plane is None:
            return self._file.raw(tensor)
        if self._current is None or self._current[0] != tensor:
            if self._current is not None:
                self._file.release(self._current[0])
            row = self._file.tensor(tensor)
            self._current = (tensor, formats.split(row.type.name, self._file.raw(tensor), row.shape))
        return self._current[1][plane]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def forget(self) -> None:
        """Drop what is kept and give the file's pages back."""
        self._current = None
        for name in {tensor for tensor, plane in self._sources.values() if plane is not None}:
            self._file.release(name)
