"""Trees of Python containers with arrays at the leaves.

tuple, list, dict, None, named tuples and registered classes are nodes; everything else is a leaf. A `TreeDef` is
hashable (it is part of the call signature) and turns into plain JSON (it is part of saved programs).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

from . import errors

__all__ = [
    "TreeDef",
    "flatten",
    "flatten_with_names",
    "map_tree",
    "register",
    "register_dataclass",
    "unflatten",
]


@dataclasses.dataclass(frozen=True)
class TreeDef:
    """The shape of a tree without its leaves; `kind` is "leaf", "none", "tuple", "list", "dict", "named" or "node"."""

    kind: str
    children: tuple[TreeDef, ...] = ()
    keys: tuple[Any, ...] = ()
    cls: type | None = None
    meta: Any = None
    # Computed once: trees are compared and hashed at every call.
    _count: int = dataclasses.field(init=False, repr=False, compare=False)
    _hash: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = 1 if self.kind == "leaf" else sum(child.leaf_count for child in self.children)
        object.__setattr__(self, "_count", count)
        object.__setattr__(self, "_hash", hash((self.kind, self.children, self.keys, self.cls, self.meta)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def leaf_count(self) -> int:
        """Number of leaves below this node."""
        return self._count

    def to_json(self) -> Any:
        """Render as JSON data; classes that are not plain containers become dicts of their fields."""
        if self.kind == "leaf":
            return "*"
        children = [child.to_json() for child in self.children]
        if self.kind == "none":
            return None
        if self.kind in ("tuple", "list"):
            return {self.kind: children}
        return {"dict": [[str(key), child] for key, child in zip(self.keys, children, strict=True)]}

    @staticmethod
    def from_json(data: Any) -> TreeDef:
        """Read what `to_json` wrote."""
        if data == "*":
            return LEAF
        if data is None:
            return NONE
        if isinstance(data, dict) and len(data) == 1:
            kind, body = next(iter(data.items()))
            if kind in ("tuple", "list") and isinstance(body, list):
                return TreeDef(kind, tuple(TreeDef.from_json(child) for child in body))
            if kind == "dict" and isinstance(body, list):
                keys = tuple(str(key) for key, _ in body)
                return TreeDef(kind, tuple(TreeDef.from_json(child) for _, child in body), keys)
        raise errors.FormatError(f"saved program: not a tree: {data!r:.80}")

    def __repr__(self) -> str:
        if self.kind == "leaf":
            return "*"
        if self.kind == "none":
            return "None"
        parts = [repr(child) for child in self.children]
        if self.kind == "tuple":
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if self.kind == "list":
            return f"[{', '.join(parts)}]"
        named = ", ".join(f"{key}: {part}" for key, part in zip(self.keys, parts, strict=True))
        return f"{{{named}}}" if self.kind == "dict" else f"{self.cls.__name__ if self.cls else ''}({named})"


LEAF = TreeDef("leaf")
NONE = TreeDef("none")


@dataclasses.dataclass(frozen=True)
class _Node:
    names: Callable[[Any], tuple[str, ...]]
    flatten: Callable[[Any], tuple[Iterable[Any], Any]]
    unflatten: Callable[[Any, list[Any]], Any]


_registry: dict[type, _Node] = {}


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten: Callable[[Any, list[Any]], Any],
    names: Callable[[Any], tuple[str, ...]] | None = None,
) -> type:
    """Make a class a node of trees.

    Args:
        cls: the class; subclasses are not included.
        flatten: instance -> (children, hashable static data).
        unflatten: (static data, children) -> instance.
        names: instance -> the names of the children, used in argument and weight names.

    Returns:
        The class, so that it can be used inside a decorator.

    Raises:
        ArgumentError: the class is registered already.
    """
    if cls in _registry:
        raise errors.ArgumentError(f"pytree.register: {cls.__name__} is registered already")
    _registry[cls] = _Node(
        names or (lambda x: tuple(map(str, range(len(list(flatten(x)[0])))))), flatten, unflatten
    )
    return cls


def register_dataclass(cls: type, *, static: Iterable[str] = ()) -> type:
    """Make a dataclass a node of trees: its fields are children, those in `static` are hashable data.

    Example:
        >>> import dataclasses, tilewright as tw
        >>> @tw.register_dataclass
        ... @dataclasses.dataclass
        ... class Point:
        ...     x: object
        ...     y: object
        >>> tw.tree_flatten(Point(1, 2))[0]
        [1, 2]
    """
    if not dataclasses.is_dataclass(cls):
        raise errors.ArgumentError(f"register_dataclass: {cls.__name__} is not a dataclass")
    fixed = tuple(static)
    fields = tuple(f.name for f in dataclasses.fields(cls) if f.name not in fixed)

    def take(x: Any) -> tuple[list[Any], Any]:
        return [getattr(x, name) for name in fields], tuple((name, getattr(x, name)) for name in fixed)

    def build(meta: Any, children: list[Any]) -> Any:
        # Children may be anything while a tree is mapped, so no __init__ that would check them.
        new = object.__new__(cls)
        for name, value in (*zip(fields, children, strict=True), *meta):
            object.__setattr__(new, name, value)
        return new

    return register(cls, take, build, lambda _: fields)


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """Split a tree into its leaves, in order, and its structure."""
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves, None, "")


def flatten_with_names(tree: Any, root: str = "") -> tuple[list[Any], TreeDef, list[str]]:
    """Like `flatten`, with a dotted name for each leaf, as in `params.layers.0.wq`."""
    leaves: list[Any] = []
    names: list[str] = []
    return leaves, _walk(tree, leaves, names, root), names


def _walk(x: Any, leaves: list[Any], names: list[str] | None, path: str) -> TreeDef:
    cls = type(x)
    if x is None:
        return NONE
    meta: Any = None
    owner: type | None = None
    if cls is tuple or cls is list:
        kind, items, keys = cls.__name__, x, tuple(range(len(x)))
    elif cls is dict:
        kind, keys = "dict", tuple(sorted(x, key=str))
        items = [x[key] for key in keys]
    elif cls in _registry:
        node = _registry[cls]
        children, meta = node.flatten(x)
        kind, items, keys, owner = "node", children, node.names(x), cls
    elif isinstance(x, tuple) and hasattr(cls, "_fields"):
        kind, items, keys, owner = "named", x, cls._fields, cls
    else:
        leaves.append(x)
        if names is not None:
            names.append(path)
        return LEAF
    if names is None:
        below = tuple(_walk(item, leaves, None, "") for item in items)
    else:
        prefix = path + "." if path else ""
        below = tuple(
            _walk(item, leaves, names, f"{prefix}{key}") for key, item in zip(keys, items, strict=True)
        )
    return TreeDef(kind, below, () if kind in ("tuple", "list") else keys, owner, meta)


def unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """Put leaves back into a structure.

    Raises:
        ArgumentError: there are more or fewer leaves than the structure holds.
    """
    items = list(leaves)
    if len(items) != treedef.leaf_count:
        raise errors.ArgumentError(f"unflatten: {len(items)} leaves for a structure of {treedef.leaf_count}")
    return _build(treedef, iter(items))


def unflattener(treedef: TreeDef) -> Callable[[Iterable[Any]], Any] | None:
    """Return what a `Dispatcher` needs to rebuild results: None for a leaf and for a tuple of several."""
    flat = treedef.kind == "tuple" and len(treedef.children) > 1 and all(c == LEAF for c in treedef.children)
    return None if flat or treedef.kind == "leaf" else functools.partial(unflatten, treedef)


def _build(treedef: TreeDef, leaves: Any) -> Any:
    kind = treedef.kind
    if kind == "leaf":
        return next(leaves)
    if kind == "none":
        return None
    children = [_build(child, leaves) for child in treedef.children]
    if kind == "tuple":
        return tuple(children)
    if kind == "list":
        return children
    if kind == "dict":
        return dict(zip(treedef.keys, children, strict=True))
    assert treedef.cls is not None
    if kind == "named":
        return treedef.cls(*children)
    return _registry[treedef.cls].unflatten(treedef.meta, children)


def map_tree(fn: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply a function to the leaves of one tree, or to the matching leaves of several.

    Raises:
        ArgumentError: the trees differ in structure.
    """
    leaves, treedef = flatten(tree)
    columns = [leaves]
    for other in rest:
        more, other_def = flatten(other)
        if other_def != treedef:
            raise errors.ArgumentError(f"map_tree: the trees differ: {treedef} and {other_def}")
        columns.append(more)
    return unflatten(treedef, [fn(*group) for group in zip(*columns, strict=True)])
