"""The arguments of `tw.jit` and of one call, brought into one form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from . import config, errors, pytree
from .precision import check
from .specs import Spec
from .variants import DEFAULT_CALLS

__all__ = ["Call", "Options"]


class Call:
    """The arguments of one call, taken apart."""

    def __init__(
        self, args: Any, kwargs: Any, statics: dict[Any, Any], static_key: Any, leaves: Any, trees: Any
    ):
        self.args, self.kwargs, self.statics, self.leaves, self.trees = args, kwargs, statics, leaves, trees
        positional = tuple(tree for place, tree in trees if isinstance(place, int))
        named = [(place, tree) for place, tree in trees if not isinstance(place, int)]
        keys = pytree.TreeDef("dict", tuple(tree for _, tree in named), tuple(key for key, _ in named))
        self.in_tree = pytree.TreeDef("tuple", (pytree.TreeDef("tuple", positional), keys))
        ranks = tuple((len(leaf.spec.shape), leaf.spec.dtype, leaf.spec.weak) for leaf in leaves)
        self.key = (self.in_tree, static_key, ranks)
        self.has_weights = any(leaf.weight for leaf in leaves)
        self.plain = not any(isinstance(leaf.value, Spec) for leaf in leaves)

    def rebuild(self, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Put values (and static arguments) where the arguments were."""
        args: list[Any] = list(self.args)
        kwargs = dict(self.kwargs)
        position = 0
        for place, tree in self.trees:
            part = pytree.unflatten(tree, values[position : position + tree.leaf_count])
            position += tree.leaf_count
            if isinstance(place, int):
                args[place] = part
            else:
                kwargs[place] = part
        return args, kwargs


class Options:
    """The arguments of `tw.jit`, brought into one form."""

    def __init__(self, fn: Callable[..., Any], *, static_argnums: Any, static_argnames: Any, donate_argnums: Any,
                 weight_argnums: Any, dynamic: bool | None, target: str | None, name: str | None,
                 specialize: Any = None, precision: str | None = None):  # fmt: skip
        self.name = (
            name
            or getattr(fn, "__name__", None)
            or getattr(getattr(fn, "func", None), "__name__", "function")
        )
        self.dynamic, self.target = dynamic, target
        self.specialize = _calls_of(specialize)
        self.precision = check("jit", precision)
        try:
            signature: inspect.Signature | None = inspect.signature(fn)
        except (TypeError, ValueError):
            signature = None
        parameters = list(signature.parameters.values()) if signature is not None else []
        self.signature = signature
        self.parameters = parameters
        self.positional = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        known = {p.name for p in parameters}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        static, names = set(self._places(static_argnums)), set(_listed(static_argnames))
        for given in names:
            if given not in known and not takes_any:
                errors.fail(errors.ArgumentError, f"jit: {self.name} has no parameter {given!r} (static_argnames)",
                            help=errors.did_you_mean(given, known))  # fmt: skip
        self.has_self = bool(self.positional) and self.positional[0] == "self"
        if self.has_self:
            static.add(0)
        static |= {self.positional.index(n) for n in names if n in self.positional}
        names |= {self.positional[i] for i in static if i < len(self.positional)}
        self.static_positions, self.static_names = tuple(sorted(static)), frozenset(names)
        self.donated, self.weights = set(self._places(donate_argnums)), set(self._places(weight_argnums))

    def _places(self, places: Any) -> list[int]:
        result = []
        for place in _listed(places):
            count = len(self.positional)
            if not isinstance(place, int) or not -max(count, 1) <= place:
                errors.fail(
                    errors.ArgumentError, f"jit: {self.name}: {place!r} is no position of an argument"
                )
            result.append(place + count if place < 0 else place)
        return result

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Hold a call against the signature, so that the error names the user's function and line."""
        if self.signature is None:
            return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            errors.fail(
                errors.ArgumentError,
                f"{self.name}: {exc}",
                help=f"its signature is {self.name}{self.signature}",
            )

    def names(self, count: int) -> list[str]:
        """Names of positional arguments; those of `*args` are numbered."""
        rest = next((p.name for p in self.parameters if p.kind is p.VAR_POSITIONAL), "arg")
        extra = range(count - len(self.positional))
        return [*self.positional[:count], *(f"{rest}.{i}" for i in extra)]

    def is_weight(self, place: Any) -> bool:
        return self._among(place, self.weights)

    def is_donated(self, place: Any) -> bool:
        return self._among(place, self.donated)

    def _among(self, place: Any, places: set[int]) -> bool:
        if isinstance(place, str):
            return place in self.positional and self.positional.index(place) in places
        return place in places


def _calls_of(specialize: Any) -> int:
    """Return the number of calls after which sizes get a variant; 0 is never."""
    if specialize is None:
        specialize = config.current().specialize
        specialize = "observed" if specialize is None else specialize
    if specialize == "observed":
        return DEFAULT_CALLS
    if specialize is True or not isinstance(specialize, int) or specialize < 0:
        errors.fail(
            errors.ArgumentError,
            f"jit: specialize={specialize!r} is neither 'observed' nor a number of calls",
            help="None leaves it to TILEWRIGHT_SPECIALIZE, 0 turns it off.",
        )
    return int(specialize)


def _listed(x: Any) -> list[Any]:
    return [] if x is None else list(x) if isinstance(x, Iterable) and not isinstance(x, str) else [x]
