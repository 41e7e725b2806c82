"""Sizes that are known only at the call: polynomials over named symbols with integer coefficients.

A `SymDim` is a Python-side identity for a `?` in a tensor type. It is kept in normal form, so that `n + m` equals
`m + n` and two paths to one size are recognised; what cannot be decided while tracing is an error, never a guess.
A symbol that is a multiple of k enters as k times its k-th part, which makes `n // k * k` equal `n`.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from . import errors
from .specs import Dim

__all__ = ["Atom", "Size", "SymDim", "ceil_div", "product", "same", "show_shape", "symbol"]


class Atom:
    """An unknown integer: a symbol (or its part), or floordiv/mod of two sizes that do not divide evenly."""

    __slots__ = ("args", "dim", "kind", "name", "origins", "text")

    def __init__(
        self, kind: str, text: str, dim: Dim | None = None, args: tuple[Size, ...] = (), name: str = ""
    ):
        self.kind, self.text, self.dim, self.args, self.name = kind, text, dim, args, name
        self.origins: list[str] = []

    def bounds(self) -> tuple[int, int | None]:
        """Smallest and largest value (None: unbounded)."""
        if self.dim is not None:
            part = self.dim.multiple_of
            return -(-self.dim.min // part), None if self.dim.max is None else self.dim.max // part
        lo, hi = bounds(self.args[0])
        den = self.args[1]
        if self.kind == "mod":
            return 0, None if not isinstance(den, int) else den - 1
        if isinstance(den, int) and den > 0:
            return lo // den, None if hi is None else hi // den
        return 0 if lo >= 0 else lo, hi

    def __repr__(self) -> str:
        return self.text


Monomial = tuple[Atom, ...]


class SymDim:
    """A size with a name, as found in the shape of a traced value; use it in arithmetic and in shapes.

    `+ - * // %` with ints and other sizes give sizes. Comparing works only where the answer is the same for every
    admitted size; everything else would need the value while tracing and raises `TracerError`.

    Example:
        >>> import tilewright as tw
        >>> f = tw.jit(lambda x: x.reshape(x.shape[0] * 2, 32))
        >>> str(f.trace(tw.spec((tw.Dim("n"), 64))).outputs[0])
        'float32[2*n, 32]'
    """

    __slots__ = ("_hash", "key", "terms")
    __array_ufunc__ = None  # NumPy arrays then leave the operator to us

    def __init__(self, terms: dict[Monomial, int]):
        self.terms = terms
        # Identity for dicts: `==` may be undecidable, the normal form is not.
        self.key = frozenset(terms.items())
        self._hash = hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    # -- arithmetic -------------------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Any:
        terms = _terms(other)
        return NotImplemented if terms is None else _combine(self.terms, terms, 1)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        terms = _terms(other)
        return NotImplemented if terms is None else _combine(self.terms, terms, -1)

    def __rsub__(self, other: Any) -> Any:
        terms = _terms(other)
        return NotImplemented if terms is None else _combine(terms, self.terms, -1)

    def __neg__(self) -> Any:
        return _combine({}, self.terms, -1)

    def __mul__(self, other: Any) -> Any:
        terms = _terms(other)
        if terms is None:
            return NotImplemented
        result: dict[Monomial, int] = {}
        for mono, c in self.terms.items():
            for mono2, c2 in terms.items():
                key = tuple(sorted(mono + mono2, key=_order))
                result[key] = result.get(key, 0) + c * c2
        return _normal(result)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return NotImplemented if _terms(other) is None else _divide(self, other)[0]

    def __rfloordiv__(self, other: Any) -> Any:
        return NotImplemented if _terms(other) is None else _divide(other, self)[0]

    def __mod__(self, other: Any) -> Any:
        return NotImplemented if _terms(other) is None else _divide(self, other)[1]

    def __rmod__(self, other: Any) -> Any:
        return NotImplemented if _terms(other) is None else _divide(other, self)[1]

    def __divmod__(self, other: Any) -> Any:
        return NotImplemented if _terms(other) is None else _divide(self, other)

    # Division and powers leave the integers: they continue on a traced 0-d value.
    def __truediv__(self, other: Any) -> Any:
        return _traced("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _traced("divide", other, self)

    def __pow__(self, other: Any) -> Any:
        return _traced("pow", self, other)

    def __rpow__(self, other: Any) -> Any:
        return _traced("pow", other, self)

    # -- comparison -------------------------------------------------------------------------------------------
    def __eq__(self, other: Any) -> bool:
        if isinstance(other, SymDim) and self.terms == other.terms:
            return True
        if _terms(other) is None:
            return False
        lo, hi = bounds(self - other)
        if lo > 0 or (hi is not None and hi < 0):
            return False
        _undecided(self, "==", other)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return _ordered(self, "<", other, other - self, 1)

    def __le__(self, other: Any) -> bool:
        return _ordered(self, "<=", other, other - self, 0)

    def __gt__(self, other: Any) -> bool:
        return _ordered(self, ">", other, self - other, 1)

    def __ge__(self, other: Any) -> bool:
        return _ordered(self, ">=", other, self - other, 0)

    def __bool__(self) -> bool:
        return self != 0

    def __index__(self) -> int:  # noqa: PLE0305 (never returns)
        _no_value(self, "int()")

    __int__ = __index__

    def __float__(self) -> float:
        _no_value(self, "float()")

    def __repr__(self) -> str:
        parts = []
        for mono, c in sorted(
            self.terms.items(), key=lambda item: (-len(item[0]), [_order(a) for a in item[0]])
        ):
            parts.append(_show_term(mono, c))
        return " + ".join(parts).replace("+ -", "- ")

    def origins(self) -> list[str]:
        """Where the symbols in this size come from, for error messages."""
        seen: dict[str, None] = {}
        for mono in self.terms:
            for atom in mono:
                if atom.dim is not None:
                    seen.update(dict.fromkeys(f"{atom.name} is {origin}" for origin in atom.origins[:3]))
                for arg in atom.args:
                    if isinstance(arg, SymDim):
                        seen.update(dict.fromkeys(arg.origins()))
        return list(seen)


Size = int | SymDim


def symbol(dim: Dim) -> Size:
    """Make the size that stands for a `Dim` (an int where the bounds leave one value)."""
    if dim.max == dim.min:
        return dim.min
    return SymDim({(Atom("sym", dim.name, dim, name=dim.name),): dim.multiple_of})


def bounds(size: Size) -> tuple[int, int | None]:
    """Interval of a size; the lower end of an unbounded expression is a very negative number."""
    if isinstance(size, int):
        return size, size
    low: float = 0
    high: float = 0
    for mono, c in size.terms.items():
        lo: float = 1
        hi: float = 1
        for atom in mono:
            a, b = atom.bounds()
            corners = [
                x * y for x in (lo, hi) for y in (a, math.inf if b is None else b) if not _inf_zero(x, y)
            ]
            lo, hi = min(corners, default=0), max(corners, default=0)
        low += lo * c if c > 0 else hi * c
        high += hi * c if c > 0 else lo * c
    return (int(low) if low != -math.inf else -(1 << 62)), (None if high == math.inf else int(high))


def same(a: Size, b: Size) -> bool:
    """Tell whether two sizes are known to be equal; never raises."""
    if isinstance(a, int) or isinstance(b, int):
        return isinstance(a, int) and isinstance(b, int) and a == b
    return a.terms == b.terms


def product(sizes: Any) -> Size:
    """Multiply sizes."""
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


def ceil_div(a: Size, b: int) -> Size:
    """Divide, rounding up."""
    return (a + (b - 1)) // b


def show_shape(shape: Any) -> str:
    """Render a shape for messages: `[4, n]`."""
    return f"[{', '.join(map(str, shape))}]"


def _inf_zero(x: float, y: float) -> bool:
    return (x == 0 and math.isinf(y)) or (y == 0 and math.isinf(x))


def _order(atom: Atom) -> str:
    return atom.text


def _terms(x: Any) -> dict[Monomial, int] | None:
    if isinstance(x, SymDim):
        return x.terms
    if isinstance(x, bool) or not isinstance(x, int):
        index = getattr(x, "__index__", None)
        # NumPy integers are sizes too; traced values are not, they take over the operator.
        if index is None or not type(x).__module__.startswith("numpy"):
            return None
        try:
            x = index()
        except TypeError:
            return None
    return {(): int(x)} if x else {}


def _normal(terms: dict[Monomial, int]) -> Size:
    terms = {mono: c for mono, c in terms.items() if c}
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    return SymDim(terms)


def _combine(a: dict[Monomial, int], b: dict[Monomial, int], sign: int) -> Size:
    result = dict(a)
    for mono, c in b.items():
        result[mono] = result.get(mono, 0) + sign * c
    return _normal(result)


_functions: dict[tuple[str, Size, Size], Atom] = {}


def _divide(a: Any, b: Any) -> tuple[Size, Size]:
    """Floor-divide: exact where every coefficient divides, an opaque atom for the rest."""
    if isinstance(b, int):
        if b == 0:
            errors.fail(errors.ShapeError, f"division of the size {a} by zero")
        exact = {mono: c // b for mono, c in (_terms(a) or {}).items() if c % b == 0}
        rest = _normal({mono: c % b for mono, c in (_terms(a) or {}).items()})
        floor = _normal({mono: c // b for mono, c in (_terms(a) or {}).items()})
        if isinstance(rest, int) and len(exact) >= len(_terms(a) or {}) - 1:
            return floor, rest
        return floor + _function("floordiv", rest, b), _function("mod", rest, b)
    if same(a, b):
        return 1, 0
    quotient = _exact(a, b)
    if quotient is not None:
        return quotient, 0
    return _function("floordiv", a, b), _function("mod", a, b)


def _exact(a: Size, b: SymDim) -> Size | None:
    """Divide by a single monomial where every term contains it."""
    terms = _terms(a) or {}
    if not terms:
        return 0
    if len(b.terms) != 1:
        return None
    ((mono, c),) = b.terms.items()
    result: dict[Monomial, int] = {}
    for term, coefficient in terms.items():
        left = list(term)
        for atom in mono:
            if atom not in left:
                return None
            left.remove(atom)
        if coefficient % c:
            return None
        result[tuple(left)] = coefficient // c
    return _normal(result)


def _function(kind: str, a: Size, b: Size) -> Size:
    lo, hi = bounds(a)
    if isinstance(b, int) and lo >= 0 and hi is not None and hi < b:
        return 0 if kind == "floordiv" else a
    key = (kind, a, b)
    atom = next(
        (known for k, known in _functions.items() if k[0] == kind and same(k[1], a) and same(k[2], b)), None
    )
    if atom is None:
        sign = "//" if kind == "floordiv" else "%"
        atom = _functions[key] = Atom(kind, f"({a}){sign}({b})", args=(a, b))
    return SymDim({(atom,): 1})


def _show_term(mono: Monomial, c: int) -> str:
    if not mono:
        return str(c)
    names = []
    for atom in mono:
        part = atom.dim.multiple_of if atom.dim is not None else 1
        if part > 1 and c % part == 0:
            c //= part
            names.append(atom.text)
        else:
            names.append(f"({atom.text}//{part})" if part > 1 else atom.text)
    text = "*".join(names)
    return text if c == 1 else f"-{text}" if c == -1 else f"{c}*{text}"


def _traced(op: str, a: Any, b: Any) -> Any:
    from . import ops

    return getattr(ops, op)(a, b)


def _ordered(a: SymDim, sign: str, b: Any, difference: Any, least: int) -> bool:
    if difference is NotImplemented:
        _undecided(a, sign, b)
    lo, hi = bounds(difference)
    if lo >= least:
        return True
    if hi is not None and hi < least:
        return False
    _undecided(a, sign, b)


def _undecided(a: Any, sign: str, b: Any) -> NoReturn:
    errors.fail(
        errors.TracerError,
        f"the answer of `{a} {sign} {b}` depends on a size that is only known at the call",
        help="branch on it with tw.cond, bound it with tw.Dim(name, min=..., max=...), or make the size static.",
    )


def _no_value(a: SymDim, what: str) -> NoReturn:
    errors.fail(
        errors.TracerError,
        f"{what} of the size {a}: its value is only known at the call",
        help="use it in shapes and arithmetic as it is, or make the size static.",
    )
