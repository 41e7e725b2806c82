"""Sums of products written by letters; each pair of operands is one `tw.dot_general`."""

from __future__ import annotations

import builtins
from typing import Any

from .. import errors
from ..symbols import same, show_shape
from ..values import Tracer
from .contract import product_of
from .core import as_tracer, cast, op, promoted, shape_error
from .elementwise import multiply
from .reduce import sum as sum_
from .shape import expand_dims, transpose


@op
def einsum(subscripts: str, /, *operands: Any, precision: str | None = None) -> Tracer:
    """Add up products as written: "bij,bjk->bik".

    Args:
        subscripts: one letter per axis; letters that are missing after "->" are added up. "..." stands for leading
            axes that all operands share. Without "->" the letters that occur once remain, in alphabetical order.
        operands: one per term; contracted from left to right.
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Returns:
        The axes after "->", in that order.

    Raises:
        ShapeError: ranks or sizes do not fit the letters.
        ArgumentError: the subscripts make no sense, or the precision does not exist.
        UnsupportedOpError: a letter is repeated within one term (a diagonal).

    Example:
        >>> y = tw.einsum("ij,kj->ik", np.ones((2, 3), "f"), np.ones((4, 3), "f"))
    """
    if not isinstance(subscripts, str) or not operands:
        errors.fail(
            errors.ArgumentError,
            f"einsum: expected subscripts and operands, got {subscripts!r} and {len(operands)} operands",
            help='the subscripts come first, as in tw.einsum("ij,jk->ik", a, b).',
        )
    dtype, _ = promoted("einsum", operands)
    tracers = [cast(as_tracer("einsum", x, dtype), dtype) for x in operands]
    terms, output = _parse(subscripts, tracers)
    sizes: dict[str, Any] = {}
    for term, x in zip(terms, tracers, strict=True):
        for letter, size in zip(term, x.shape, strict=True):
            if not same(sizes.setdefault(letter, size), size):
                shape_error(f"einsum: {letter!r} is {sizes[letter]} and {size} in {subscripts!r}",
                            sizes=(sizes[letter], size))  # fmt: skip
    term, value = terms[0], tracers[0]
    for i in range(1, len(terms)):
        later = set(output).union(*terms[i + 1 :])
        term, value = _contract(term, value, terms[i], tracers[i], later, precision)
    term, value = _reduce(term, value, set(output))
    return transpose(value, tuple(term.index(letter) for letter in output))


def _parse(subscripts: str, tracers: list[Tracer]) -> tuple[list[str], str]:
    text = subscripts.replace(" ", "")
    left, arrow, output = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(tracers):
        errors.fail(
            errors.ArgumentError, f"einsum: {len(terms)} terms in {subscripts!r} for {len(tracers)} operands"
        )
    if "..." in text:
        extra = builtins.max(x.ndim - len(t.replace("...", "")) for t, x in zip(terms, tracers, strict=True))
        letters = "".join(
            [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in text][: builtins.max(extra, 0)]
        )
        terms = [
            t.replace(
                "...", letters[len(letters) - (x.ndim - len(t.replace("...", ""))) :] if "..." in t else ""
            )
            for t, x in zip(terms, tracers, strict=True)
        ]
        output = output.replace("...", letters)
        if not arrow:
            arrow, output = "->", letters + "".join(sorted(_once("".join(terms)) - set(letters)))
    if not arrow:
        output = "".join(sorted(_once("".join(terms))))
    for term, x in zip(terms, tracers, strict=True):
        if not all(c.isalpha() for c in term) or len(set(output)) != len(output):
            errors.fail(errors.ArgumentError, f"einsum: cannot read {subscripts!r}")
        if len(set(term)) != len(term):
            errors.fail(
                errors.UnsupportedOpError, f"einsum: {term!r} repeats a letter; diagonals are not supported"
            )
        if len(term) != x.ndim:
            shape_error(
                f"einsum: {term!r} names {len(term)} axes, the operand has shape {show_shape(x.shape)}"
            )
    missing = set(output) - set("".join(terms))
    if missing:
        errors.fail(
            errors.ArgumentError,
            f"einsum: {sorted(missing)[0]!r} appears only in the output of {subscripts!r}",
        )
    return terms, output


def _once(letters: str) -> set[str]:
    return {c for c in letters if letters.count(c) == 1}


def _reduce(term: str, x: Tracer, keep: set[str]) -> tuple[str, Tracer]:
    axes = tuple(i for i, letter in enumerate(term) if letter not in keep)
    return ("".join(c for c in term if c in keep), sum_(x, axis=axes)) if axes else (term, x)


def _contract(
    a_term: str, a: Tracer, b_term: str, b: Tracer, later: set[str], precision: str | None
) -> tuple[str, Tracer]:
    a_term, a = _reduce(a_term, a, later | set(b_term))
    b_term, b = _reduce(b_term, b, later | set(a_term))
    shared = [c for c in a_term if c in b_term]
    batch = [c for c in shared if c in later]
    contract = [c for c in shared if c not in later]
    if not contract:
        # Nothing is added up: an elementwise product of aligned operands.
        term = a_term + "".join(c for c in b_term if c not in a_term)
        return term, multiply(_aligned(a_term, a, term), _aligned(b_term, b, term))
    value = product_of(
        "einsum",
        a,
        b,
        (tuple(map(a_term.index, batch)), tuple(map(b_term.index, batch))),
        (tuple(map(a_term.index, contract)), tuple(map(b_term.index, contract))),
        precision=precision,
    )
    free = [c for c in a_term if c not in shared] + [c for c in b_term if c not in shared]
    return "".join(batch + free), value


def _aligned(term: str, x: Tracer, target: str) -> Tracer:
    ordered = [c for c in target if c in term]
    moved = transpose(x, tuple(term.index(c) for c in ordered))
    return expand_dims(moved, tuple(i for i, c in enumerate(target) if c not in term))
