"""Choose the next token from logits: greedy, or temperature with top-k and top-p, from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens.

    Args:
        temperature: 0 is greedy; otherwise logits are divided by it.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of most likely tokens whose probabilities reach p; 1 keeps all.
        seed: the same seed, logits and settings give the same tokens; None takes one from the system.

    Raises:
        ArgumentError: a value out of its range.

    Example:
        >>> Sampling(temperature=0.8, top_p=0.9, seed=1).sampler()(np.array([0.0, 9.0], "f"))
        1
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ArgumentError(f"sampling: temperature must be a number >= 0, not {self.temperature}")
        if self.top_k < 0:
            raise ArgumentError(f"sampling: top_k must be >= 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ArgumentError(f"sampling: top_p must be above 0 and at most 1, not {self.top_p}")
        if self.seed is not None and self.seed < 0:
            raise ArgumentError(f"sampling: seed must be >= 0, not {self.seed}")

    def sampler(self) -> Sampler:
        """Start a sequence of choices."""
        return Sampler(self)


class Sampler:
    """The state of one sequence of choices: the random generator."""

    def __init__(self, settings: Sampling) -> None:
        self.settings = settings
        self._generator = np.random.default_rng(settings.seed)

    def __call__(self, logits: np.ndarray) -> int:
        """Return the index of the chosen token.

        Args:
            logits: `[V]` of any float dtype; -inf excludes a token.

        Raises:
            ArgumentError: logits that are NaN, or exclude every token.
        """
        best = int(np.argmax(logits))
        # argmax returns the first NaN where there is one, so looking at the winner is enough.
        if not np.isfinite(logits[best]):
            raise ArgumentError(f"sampling: logits without a usable value (the largest is {logits[best]})")
        if self.settings.temperature == 0:
            return best
        return self._draw(logits.astype(np.float64))

    def _draw(self, logits: np.ndarray) -> int:
        settings = self.settings
        keep = np.arange(logits.size)
        if 0 < settings.top_k < logits.size:
            keep = np.argpartition(logits, logits.size - settings.top_k)[-settings.top_k :]
        # Sorted from likely to unlikely, ties by index, so that the result does not depend on the partition's order.
        keep = keep[np.lexsort((keep, -logits[keep]))]
        # Subtracting first keeps +-inf out of the division: a tiny temperature becomes greedy, not NaN.
        with np.errstate(over="ignore"):
            weights = np.exp((logits[keep] - logits[keep[0]]) / settings.temperature)
        cumulated = np.cumsum(weights)
        if settings.top_p < 1:
            size = int(np.searchsorted(cumulated, settings.top_p * cumulated[-1])) + 1
            keep, cumulated = keep[:size], cumulated[:size]
        point = self._generator.random() * cumulated[-1]
        return int(keep[min(int(np.searchsorted(cumulated, point, side="right")), keep.size - 1)])
