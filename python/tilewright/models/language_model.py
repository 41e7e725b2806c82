"""A language model that runs: opens a GGUF file, gets its programs, binds the weights, keeps the cache."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tilewright as tw

from .. import config as settings
from ..errors import ArgumentError, FormatError
from ..frontends.gguf import GGUFFile
from ..runtime import devices
from ..runtime import weights as binding
from . import gguf_weights, llama, program_store
from .llama_config import LlamaConfig, Rope
from .sampling import Sampling
from .tokenizer import Tokenizer

# Room for keys and values is set aside lazily by the system, but tables and sizes are made for all of it.
DEFAULT_CONTEXT = 2048

# How many tokens a program takes at once; None is any number.
_PROGRAMS: dict[str, int | None] = {"prefill": None, "decode": 1}

# (what happens now, how many of how many steps are done)
Progress = Callable[[str, int, int], None]


def _nobody(text: str, done: int, total: int) -> None:
    """Be told, and keep it to oneself."""


class LanguageModel:
    """A Llama-type model, compiled, with its weights and one sequence of tokens in its cache.

    Args:
        path: a GGUF file.
        context: how many positions the cache has; None takes the file's own, at most 2048.
        target: compile target; None takes the configured one.
        activations: "float32" computes products exactly; "int8" first rounds what meets quantised weights to 8 bits, in
            groups of 32 with a scale each (`tw.linear`). `activation_error` measures what that costs.
        progress: is told what happens; called with (text, steps done, steps in all).
        prepare: False only reads the file's header; `prepare` then compiles and packs, at the latest when a token is
            fed.

    Attributes:
        config: the sizes.
        tokenizer: of the file.
        compile_s: seconds to get the programs (cached ones are loaded, not compiled).
        load_s: seconds to read and pack the weights.
        cached: whether the programs came from the cache.

    Raises:
        FormatError: the file is damaged, or of a kind that is not supported.
        ArgumentError: the context is out of range, or the activations are none of these.

    Example:
        >>> model = LanguageModel("model.gguf")                                      # doctest: +SKIP
        >>> ids = model.tokenizer.encode("The capital of France is")
        >>> model.tokenizer.decode(model.generate(ids, max_tokens=1))
        ' Paris'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        context: int | None = None,
        target: str | None = None,
        activations: str = "float32",
        progress: Progress | None = None,
        prepare: bool = True,
    ) -> None:
        started = time.perf_counter()
        if activations not in ("float32", "int8"):
            raise ArgumentError(f'activations: {activations!r} is neither "float32" nor "int8"')
        self.file = GGUFFile(path)
        self.config = replace(LlamaConfig.from_gguf(self.file), activations=activations)
        self.tokenizer = Tokenizer(self.file)
        if len(self.tokenizer) > self.config.vocabulary:
            raise FormatError(
                f"{self.file.path}: {len(self.tokenizer)} tokens but only {self.config.vocabulary} embeddings"
            )
        self.context = self._context(context)
        self._names = gguf_weights.llama_names(self.config, self.file)
        self._specs = gguf_weights.specs(self.file, self._names)
        self._rope = Rope.from_gguf(self.file, self.config).tables(self.context)
        self.target = target or settings.current().target
        self._positions = np.arange(self.context, dtype=np.int32)
        self._cache: list[np.ndarray] = []
        self._programs: dict[str, Any] = {}
        self._report: Progress = _nobody
        self.length = 0
        self.cached = False
        self.compile_s = 0.0
        self.load_s = time.perf_counter() - started
        if prepare:
            self.prepare(progress)

    def prepare(self, progress: Progress | None = None) -> None:
        """Get the programs, from the cache or by compiling, and bind the weights; done once."""
        if self._programs:
            return
        self._report = progress or _nobody
        started = time.perf_counter()
        programs, self.cached = program_store.load_or_compile(
            f"llama {os.path.basename(self.file.path)}", self._facts(), self._compile, ("prefill", "decode")
        )
        compiled = time.perf_counter()
        self._report("packing the weights", 0, 1)
        self._programs = dict(zip(programs, self._bind(list(programs.values())), strict=True))
        self._cache = self._new_cache()
        self._report("ready", 1, 1)
        self.compile_s = compiled - started
        self.load_s += time.perf_counter() - compiled

    def _bind(self, programs: list[Any]) -> list[Any]:
        lazy = gguf_weights.LazyPlanes(self.file, self._names)
        try:
            return binding.bind_all(programs, lazy)
        finally:
            lazy.forget()

    def _context(self, asked: int | None) -> int:
        trained = self.file.metadata.optional("llama.context_length", int, DEFAULT_CONTEXT)
        if asked is None:
            return max(1, min(trained, DEFAULT_CONTEXT))
        if not 1 <= asked <= trained:
            raise ArgumentError(f"context: {asked} is outside 1..{trained}, what the model was trained for")
        return asked

    # ---- programs --------------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        """Return what the programs are determined by; the bytes of the weights and the file's name are not in it."""
        leaves, tree = tw.tree_flatten(self._specs)
        text = f"{tree!r} {leaves!r}"
        return {
            "model": "llama",
            "config": self.config.as_json(),
            "context": self.context,
            "weights": hashlib.sha256(text.encode()).hexdigest()[:32],
            "target": self.target,
            "gpu": devices.architecture(None) if self.target.startswith("cuda") else None,
        }

    def _compile(self) -> program_store.Programs:
        return compile_programs(self.config, self._specs, self.context, self.target, self._report)

    def lower(self, tokens: int, *, end: int) -> tw.Lowered:
        """Return the program that feeds `tokens` tokens, the last at position `end` - 1, for exactly these sizes.

        What runs is compiled for any position; this is for looking at it, as `tilewright roofline` does.

        Raises:
            ArgumentError: the tokens do not fit.
        """
        if not 1 <= tokens <= end <= self.context:
            raise ArgumentError(f"lower: {tokens} tokens up to position {end} do not fit into {self.context}")
        return _lower_one(llama.next_logits, self.config, self._specs, self.context, self.target, tokens, end)

    def lowered(self) -> dict[str, tw.Lowered]:
        """Return the programs that `prepare` compiles: `prefill` for any number of tokens, `decode` for one."""
        return {
            name: _lower_one(llama.next_logits, self.config, self._specs, self.context, self.target, count)
            for name, count in _PROGRAMS.items()
        }

    def _new_cache(self) -> list[np.ndarray]:
        c = self.config
        shapes = [(c.kv_heads, self.context, width) for width in (c.head_dim, c.value_dim)] * c.layers
        return [np.zeros(shape, np.float32) for shape in shapes]

    # ---- one sequence ----------------------------------------------------------------------------------------------

    def reset(self, length: int = 0) -> None:
        """Forget the tokens after the first `length`; the next call of `feed` goes on from there."""
        if not 0 <= length <= self.length:
            raise ArgumentError(f"reset: length {length} is outside 0..{self.length}")
        self.length = length

    def feed(self, tokens: Sequence[int]) -> np.ndarray:
        """Append tokens to the sequence and return the logits `float32 [V]` that follow the last one.

        Args:
            tokens: at least one id; several run at once, one by the program for single steps.

        Raises:
            ArgumentError: an id outside the vocabulary, no token, or more than the context has room for.
        """
        ids = np.asarray(tokens, np.int32)
        if ids.ndim != 1 or ids.size == 0:
            raise ArgumentError("feed: expected a list of at least one token")
        if ids.min() < 0 or ids.max() >= self.config.vocabulary:
            raise ArgumentError(f"feed: token ids must be within 0..{self.config.vocabulary - 1}")
        end = self.length + ids.size
        if end > self.context:
            raise ArgumentError(
                f"feed: {end} tokens do not fit into a context of {self.context}",
                help="open the model with a larger context=, or reset() it.",
            )
        self.prepare()
        program = self._programs["decode" if ids.size == 1 else "prefill"]
        cos, sin = (table[self.length : end] for table in self._rope)
        outputs = program.call_tuple(cos, sin, *self._cache, ids, self._positions[:end])
        # The caches are donated: what comes back is the same memory, unless the runtime could not reuse it.
        self._cache = list(outputs[1:])
        self.length = end
        return _on_cpu(outputs[0])

    def generate(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        sampling: Sampling | None = None,
        ignore_eos: bool = False,
    ) -> Iterator[int]:
        """Yield tokens that continue `prompt`, until an end token, `max_tokens`, or the context is full.

        Args:
            prompt: ids, appended to what the cache holds.
            max_tokens: at most so many.
            sampling: how to choose; greedy by default.
            ignore_eos: go on after end tokens. They are yielded then; otherwise the sequence stops before one.
        """
        choose = (sampling or Sampling()).sampler()
        logits = self.feed(prompt)
        for count in range(1, max_tokens + 1):
            token = choose(logits)
            if token in self.tokenizer.stop_ids and not ignore_eos:
                return
            yield token
            if count == max_tokens or self.length == self.context:
                return
            logits = self.feed([token])

    def all_logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the logits `float32 [S, V]` after each of `tokens`, as a sequence of its own (for evaluation)."""
        ids = np.asarray(tokens, np.int32)
        function = self._all_logits()
        cos, sin = (table[: ids.size] for table in self._rope)
        return _on_cpu(function.call_tuple(cos, sin, *self._new_cache(), ids, self._positions[: ids.size])[0])

    def activation_error(self, tokens: Sequence[int]) -> float:
        """Return how far rounding of activations moves the logits that follow `tokens`, relative in the 2-norm.

        A second model, with float32 activations, is opened for it: that takes its time and memory.

        Args:
            tokens: at least one id; both models process them as a sequence of their own.
        """
        exact = LanguageModel(self.file.path, context=self.context, target=self.target).feed(tokens)
        kept, cache, self.length = self.length, self._cache, 0
        try:
            self.prepare()
            self._cache = self._new_cache()
            rounded = self.feed(tokens)
        finally:
            self.length, self._cache = kept, cache or self._new_cache()
        return float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact))

    def _all_logits(self) -> Any:
        if not hasattr(self, "_evaluate"):
            lowered = _lower_one(llama.all_logits, self.config, self._specs, self.context, self.target, None)
            program = lowered.compile().executable
            lazy = gguf_weights.LazyPlanes(self.file, self._names)
            (self._evaluate,) = binding.bind_all([program], lazy)
            lazy.forget()
        return self._evaluate


def _on_cpu(logits: Any) -> np.ndarray:
    """Return logits, wherever they were computed, as a NumPy array."""
    return logits if isinstance(logits, np.ndarray) else devices.host_copy(logits)


def compile_programs(
    config: LlamaConfig, specs: Any, context: int, target: str, report: Progress
) -> program_store.Programs:
    """Compile the two programs of a model: `prefill` for any number of tokens, `decode` for one."""
    names = list(_PROGRAMS)
    parts = [0.0] * len(names)

    def stage(number: int, text: str, done: int, total: int) -> None:
        parts[number] = done / total
        report(f"compiling {names[number]}: {text}", round(100 * sum(parts)), 100 * len(parts))

    report("tracing", 0, 1)
    lowered = (
        _lower_one(llama.next_logits, config, specs, context, target, count) for count in _PROGRAMS.values()
    )
    programs = dict(zip(names, tw.compile_all(lowered, progress=stage), strict=True))
    report("compiled", 1, 1)
    return {name: program.executable for name, program in programs.items()}


def _lower_one(
    function: Callable[..., Any],
    config: LlamaConfig,
    specs: Any,
    context: int,
    target: str,
    count: int | None,
    end: int | None = None,
) -> Any:
    """Lower `function` for `count` tokens, the last at position `end` - 1; None leaves a number open."""
    size = tw.Dim("tokens", max=context) if count is None else count
    table = tw.spec((size, config.rotary // 2), "float32")
    cache = [
        tuple(
            tw.spec((config.kv_heads, context, width), "float32")
            for width in (config.head_dim, config.value_dim)
        )
        for _ in range(config.layers)
    ]
    jitted = tw.jit(partial(function, config), weight_argnums=0, donate_argnums=2, target=target)
    arguments = (specs, (table, table), cache, tw.spec((size,), "int32"))
    positions = tw.spec((tw.Dim("positions", max=context) if end is None else end,), "int32")
    return jitted.lower(*arguments, positions)
