"""Sentence embeddings from a folder with an encoder: tokenise, batch, run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import tilewright as tw

from .. import config as settings
from ..errors import ArgumentError, FormatError
from ..frontends.safetensors import SafetensorsFile
from ..runtime import weights as binding
from . import bert, program_store


class Embedder:
    """A BERT-type sentence encoder, compiled once for any batch size and length.

    Args:
        folder: with `config.json`, `tokenizer.json` and `model.safetensors`, as sentence-transformers writes it.
        target: compile target; None takes the configured one.

    Raises:
        FormatError: a file is missing, damaged or of another architecture; a damaged `tokenizer.json` is found when it
            is read, for the first sentence.

    Example:
        >>> Embedder(folder).encode(["a sentence", "another one"]).shape            # doctest: +SKIP
        (2, 384)
    """

    def __init__(self, folder: str | os.PathLike[str], *, target: str | None = None) -> None:
        root = Path(folder)
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            if not (root / name).is_file():
                raise FormatError(f"{root}: has no file '{name}'")
        self.config = bert.BertConfig.from_json(root / "config.json")
        self.max_length = self._max_length(root)
        self._root = root
        weights = bert.load_weights(self.config, SafetensorsFile(root / "model.safetensors"))
        self._program = self._load(weights, target or settings.current().target)

    def _load(self, weights: dict[str, Any], target: str) -> Any:
        """Return the program with its weights, found by what determines it or compiled."""
        specs = tw.tree_map(lambda array: tw.spec(array.shape, array.dtype.name), weights)

        def compile() -> program_store.Programs:
            size, length = tw.Dim("batch"), tw.Dim("length", max=self.config.positions)
            function = tw.jit(partial(bert.embed, self.config), weight_argnums=0, target=target)
            lowered = function.lower(specs, tw.spec((size, length), "int32"), tw.spec((size, length), "bool"))
            return {"embed": lowered.compile().executable}

        facts = {"model": "bert", "config": dataclasses.asdict(self.config), "target": target}
        programs, self.cached = program_store.load_or_compile("bert", facts, compile, ("embed",))
        return binding.bind(programs["embed"], dict(_named(weights, "weights")))

    def _max_length(self, root: Path) -> int:
        path = root / "sentence_bert_config.json"
        limit = bert.read_json(path).get("max_seq_length") if path.is_file() else None
        if limit is None:
            return self.config.positions
        if not isinstance(limit, int) or not 2 < limit <= self.config.positions:
            raise FormatError(f"{path}: 'max_seq_length' is {limit!r}, expected 3..{self.config.positions}")
        return limit

    @cached_property
    def _tokenizer(self) -> Any:
        """Parsed for the first sentence: `run` needs none, and a third of a warm start is spared."""
        path = self._root / "tokenizer.json"
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise FormatError(f"{path}: reading it needs the package 'tokenizers'") from None
        # The package raises plain Exception for whatever is wrong with a file.
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise FormatError(f"{path}: no valid tokeniser: {error}") from None
        if tokenizer.get_vocab_size() > self.config.vocabulary:
            raise FormatError(f"{path}: has more tokens than the model ({self.config.vocabulary})")
        tokenizer.enable_truncation(self.max_length)
        tokenizer.no_padding()
        return tokenizer

    def tokenize(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return ids, int32 `[B, S]`, and mask, bool `[B, S]`, padded to the longest sentence."""
        encoded = [item.ids for item in self._tokenizer.encode_batch(list(sentences))]
        length = max(1, *(len(ids) for ids in encoded)) if encoded else 1
        ids, mask = np.zeros((len(encoded), length), np.int32), np.zeros((len(encoded), length), bool)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return ids, mask

    def encode(self, sentences: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """Return the embeddings, float32 `[N, E]`, each of length one.

        Args:
            sentences: texts; longer ones than the model takes are cut.
            batch_size: how many run at once.

        Raises:
            ArgumentError: a single string, or a batch size below 1.
        """
        if isinstance(sentences, str):
            raise ArgumentError("encode: expected a list of sentences, got one string", help="write [text].")
        if batch_size < 1:
            raise ArgumentError(f"encode: batch_size must be at least 1, not {batch_size}")
        result = np.empty((len(sentences), self.config.hidden), np.float32)
        # Sentences of similar length run together, so that little of a batch is padding.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            result[rows] = self.run(*self.tokenize([sentences[row] for row in rows]))
        return result

    def run(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the embeddings, float32 `[B, E]`, of what `tokenize` returns.

        Args:
            ids: int32 `[B, S]`.
            mask: bool `[B, S]`, False on padding.

        Raises:
            ArgumentError: they are no matrices of one shape, or the ids are no integers.
        """
        ids, mask = np.asarray(ids), np.asarray(mask)
        if ids.ndim != 2 or mask.shape != ids.shape or ids.dtype.kind not in "iu":
            raise ArgumentError(
                f"run: expected int32 ids and a bool mask of one shape [B, S], got {ids.dtype.name}{list(ids.shape)} "
                f"and {mask.dtype.name}{list(mask.shape)}"
            )
        ids, mask = ids.astype(np.int32, copy=False), mask.astype(np.bool_, copy=False)
        return self._program.call_tuple(ids, mask)[0]


def _named(tree: Any, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of the tree by the names that the program gives them."""
    if isinstance(tree, np.ndarray):
        yield path, tree
        return
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _named(item, f"{path}.{key}")
