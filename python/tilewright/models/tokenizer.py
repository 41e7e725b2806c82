"""Tokenisers from the vocabulary and merges inside a GGUF file, and text that streams without broken characters."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Any

from ..errors import FormatError
from ..frontends.gguf import GGUFFile

# `tokenizer.ggml.token_type`: control tokens carry meaning, not text; user-defined ones are text that is never split.
_CONTROL, _USER_DEFINED = 3, 4

# How each value of `tokenizer.ggml.pre` cuts text before merging. "gpt2" is the expression built into the byte-level
# step; others are written out. Expressions are those that the models were trained with (they are data of the model).
_GPT2 = "gpt2"
_DIGITS_THEN_GPT2 = "digits, gpt2"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
PRE_TOKENIZERS: dict[str, str] = {
    "default": _GPT2,
    "gpt-2": _GPT2,
    "gpt2": _GPT2,
    "olmo": _GPT2,
    "phi-2": _GPT2,
    "smollm": _DIGITS_THEN_GPT2,
    "starcoder": _DIGITS_THEN_GPT2,
    "refact": _DIGITS_THEN_GPT2,
    "command-r": _DIGITS_THEN_GPT2,
    "codeshell": _DIGITS_THEN_GPT2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "dbrx": _LLAMA3,
    "smaug-bpe": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "stablelm2": _QWEN2,
}
# Vocabularies of these kinds hold whole words that the merges do not build.
_IGNORE_MERGES = {"llama-bpe", "llama3", "llama-v3"}


def _byte_alphabet() -> dict[str, int]:
    """Map each character of the byte-level alphabet to its byte.

    Printable bytes stand for themselves, the others for the characters from U+0100 on.
    Source: GPT-2's byte-level BPE (`bytes_to_unicode`).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


_BYTES = _byte_alphabet()


class Tokenizer:
    """Byte-level BPE as a GGUF file describes it.

    Args:
        file: an open file with the keys `tokenizer.ggml.*`.

    Raises:
        FormatError: a tokeniser of another kind, or one whose parts do not fit together.

    Example:
        >>> tokenizer.decode(tokenizer.encode("Hello"))            # doctest: +SKIP
        'Hello'
    """

    def __init__(self, file: GGUFFile) -> None:
        meta = file.metadata
        self.path = file.path
        kind = meta.require("tokenizer.ggml.model", str)
        if kind != "gpt2":
            raise FormatError(
                f"{file.path}: metadata 'tokenizer.ggml.model' is '{kind}'; supported is 'gpt2' (byte-level BPE)"
            )
        self.pre = meta.optional("tokenizer.ggml.pre", str, "default")
        if self.pre not in PRE_TOKENIZERS:
            known = ", ".join(sorted(PRE_TOKENIZERS))
            raise FormatError(
                f"{file.path}: metadata 'tokenizer.ggml.pre' is '{self.pre}', which is not known; known are {known}"
            )
        self.tokens: list[str] = meta.require("tokenizer.ggml.tokens", list)
        self._check_vocabulary()
        self._types = self._token_types(meta)
        self.bos = self._token_id(meta, "bos")
        self.eos = self._token_id(meta, "eos")
        ends = (self._token_id(meta, name) for name in ("eos", "eot", "eom"))
        self.stop_ids = frozenset(token for token in ends if token is not None)
        self.add_bos = (
            bool(meta.optional("tokenizer.ggml.add_bos_token", bool, False)) and self.bos is not None
        )
        self.chat_template = meta.optional("tokenizer.chat_template", str, None)
        self._encoder = self._build(meta.require("tokenizer.ggml.merges", list))

    def _check_vocabulary(self) -> None:
        if len(set(self.tokens)) != len(self.tokens):
            seen: set[str] = set()
            twice = next(t for t in self.tokens if t in seen or seen.add(t))
            raise FormatError(f"{self.path}: metadata 'tokenizer.ggml.tokens': token {twice!r} appears twice")

    def _token_types(self, meta: Any) -> list[int]:
        if "tokenizer.ggml.token_type" not in meta:
            return [1] * len(self.tokens)
        types = [int(t) for t in meta["tokenizer.ggml.token_type"]]
        if len(types) != len(self.tokens):
            raise FormatError(
                f"{self.path}: metadata 'tokenizer.ggml.token_type' has {len(types)} entries "
                f"for {len(self.tokens)} tokens"
            )
        return types

    def _token_id(self, meta: Any, name: str) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        token = meta.optional(key, int, None)
        if token is not None and not 0 <= token < len(self.tokens):
            raise FormatError(f"{self.path}: metadata '{key}' is {token}, outside 0..{len(self.tokens) - 1}")
        return token

    def _build(self, merges: list[str]) -> Any:
        """Make the encoder of the `tokenizers` package."""
        try:
            from tokenizers import AddedToken, Regex, models, pre_tokenizers
            from tokenizers import Tokenizer as Encoder
        except ImportError:
            raise FormatError(f"{self.path}: reading its tokeniser needs the package 'tokenizers'") from None
        vocabulary = {token: index for index, token in enumerate(self.tokens)}
        pairs = []
        for index, merge in enumerate(merges):
            left, _, right = merge.partition(" ")
            if not (left in vocabulary and right in vocabulary and left + right in vocabulary):
                raise FormatError(
                    f"{self.path}: metadata 'tokenizer.ggml.merges'[{index}]: {merge!r} does not join two tokens"
                )
            pairs.append((left, right))
        encoder = Encoder(models.BPE(vocabulary, pairs, ignore_merges=self.pre in _IGNORE_MERGES))
        rule = PRE_TOKENIZERS[self.pre]
        if rule == _GPT2:
            steps = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
        elif rule == _DIGITS_THEN_GPT2:
            steps = [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        else:
            steps = [
                pre_tokenizers.Split(Regex(rule), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        encoder.pre_tokenizer = pre_tokenizers.Sequence(steps)
        for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
            added = [t for t, type_ in zip(self.tokens, self._types, strict=True) if type_ == kind and t]
            make = encoder.add_special_tokens if special else encoder.add_tokens
            make([AddedToken(token, normalized=False, special=special) for token in added])
        return encoder

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str, *, add_bos: bool | None = None) -> list[int]:
        """Return the token ids of `text`; special tokens written in it count as such.

        Args:
            text: what to encode.
            add_bos: put the begin token in front; None does what the file says.
        """
        ids = self._encoder.encode(text, add_special_tokens=False).ids
        if self.add_bos if add_bos is None else add_bos:
            if self.bos is None:
                raise FormatError(f"{self.path}: metadata 'tokenizer.ggml.bos_token_id' is missing")
            ids = [self.bos, *ids]
        return ids

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes one token stands for; none for control tokens and ids outside the vocabulary."""
        if not 0 <= token < len(self.tokens) or self._types[token] == _CONTROL:
            return b""
        text = self.tokens[token]
        if self._types[token] == _USER_DEFINED:
            return text.encode()
        # A character outside the alphabet can only come from a token that is plain text.
        return b"".join(bytes((_BYTES[c],)) if c in _BYTES else c.encode() for c in text)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids without control tokens; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(token) for token in ids).decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        """Start a decoder that takes one token at a time."""
        return StreamDecoder(self)


class StreamDecoder:
    """Turn tokens into text one by one; a character that spans tokens comes out when it is complete.

    The pieces, with what `finish` returns, join to exactly `Tokenizer.decode` of all the tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Take a token and return the text that is complete now (often all of it, sometimes none)."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """Return what is left: U+FFFD where the text ended inside a character."""
        return self._decoder.decode(b"", final=True)
