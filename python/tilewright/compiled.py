"""What `fn.compile` and `tw.load` return: a program that runs."""

from __future__ import annotations

import functools
import inspect
import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import errors, explain, pytree
from .pytree import TreeDef
from .runtime import Dispatcher, Executable

if TYPE_CHECKING:
    from .programs import Lowered
    from .variants import Specializer, VariantInfo

__all__ = ["Compiled", "load"]


#: Structures of calls that are answered without Python. A program has one; numbers in place of arrays make more.
_NATIVE_STRUCTURES = 8

#: Why there are no variants; docs/tutorials/variants.md says more.
_NOT_ON_A_GPU = "a program for a GPU serves all sizes itself: graphs and weights belong to one program"


_SIGNATURE = inspect.signature(lambda *args, **kwargs: None)


class Compiled(Dispatcher):
    """A program that runs.

    Call it like the function it came from, without static arguments and without weights that are bound.

    Attributes:
        executable: the code with its manifest.
        name: of the function.
    """

    def __init__(
        self,
        executable: Any,
        in_tree: TreeDef | None,
        out_tree: TreeDef,
        name: str,
        lowered: Lowered | None = None,
        bytecode: bytes | None = None,
        specialize: int = 0,
    ):
        # Held weakly: weights go when the last reference to the program does, not when cycles are collected.
        super().__init__(functools.partial(_answer, weakref.ref(self)))
        self.executable = executable
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.name = name
        self._lowered = lowered
        self._bytecode = bytecode
        self._after = specialize
        self._specializer: Specializer | None = None
        # On the instance: the class has the signature of its constructor.
        self.__signature__ = _SIGNATURE
        if specialize and hasattr(executable, "watch_sizes") and "device" not in executable.manifest:
            self._variants().watch(specialize)

    def __get__(self, instance: Any, owner: type | None = None) -> Compiled:
        """Return itself: a program that is a class's attribute is no method."""
        return self

    def __copy__(self) -> Compiled:
        return Compiled(self.executable, self.in_tree, self.out_tree, self.name, self._lowered, self._bytecode,
                        self._after)  # fmt: skip

    @errors.trim_traceback
    def _miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call whose structure is new to the native table, and add it."""
        leaves, tree = pytree.flatten((args, kwargs))
        if self.in_tree is not None and tree != self.in_tree:
            self._refuse(tree, leaves)
        result = pytree.unflatten(self.out_tree, self.executable.call_tuple(*leaves))
        if isinstance(self.executable, Executable) and len(self.executables) < _NATIVE_STRUCTURES:
            self.add(args, kwargs, self.executable, pytree.unflattener(self.out_tree))
        return result

    def _refuse(self, tree: TreeDef, leaves: list[Any]) -> None:
        assert self.in_tree is not None
        expected = [a["name"] for a in self.executable.manifest["args"] if a["kind"] != "weight"]
        errors.fail(
            errors.ArgumentError,
            f"{self.name}: compiled for arguments {_shown(self.in_tree)}, called with {_shown(tree)}",
            help=f"it takes {', '.join(expected) or 'no arguments'}; static arguments are left out.",
        )

    @property
    def manifest(self) -> dict[str, Any]:
        """What the runtime knows about the object."""
        return self.executable.manifest

    @errors.trim_traceback
    def bind(self, weights: Any) -> Compiled:
        """Bind weights once.

        Args:
            weights: arrays by weight name, or the tree that was passed as the weight argument.

        Returns:
            A program that takes only the other arguments, without the weight arguments.

        Raises:
            ArgumentError: a weight is missing.
            ShapeError, DTypeError: a weight differs from what the program was compiled for.
        """
        named = weights
        flat_names = isinstance(weights, Mapping) and all(hasattr(w, "dtype") for w in weights.values())
        if not flat_names or not _covers(self.executable, weights):
            _, _, names = pytree.flatten_with_names(weights)
            leaves = pytree.flatten(weights)[0]
            named = dict(zip(names, leaves, strict=True))
            wanted = [a["weight"] for a in self.executable.manifest["args"] if a["kind"] == "weight"]
            wanted += [s for a in self.executable.manifest["args"] for s in a.get("sources") or ()]
            # The tree is one argument: its leaves are known to the program below that argument's name.
            roots = {name.split(".", 1)[0] for name in wanted if name}
            named.update({f"{root}.{n}" if n else root: x for root in roots for n, x in list(named.items())})
        return self.with_bound(named)

    def with_bound(self, weights: Mapping[str, Any]) -> Compiled:
        """Bind weights by name, as `bind`."""
        bound = self.executable.bind(weights)
        return Compiled(
            bound, self._without_weights(), self.out_tree, self.name, self._lowered, specialize=self._after
        )

    def _without_weights(self) -> TreeDef | None:
        program = self._lowered.program if self._lowered is not None else None
        if program is None or self.in_tree is None:
            return None
        # Weight arguments are whole parameters: what is left of the positional ones keeps its order.
        positional, named = self.in_tree.children
        kept, position = [], 0
        for child in positional.children:
            part = program.arguments[position : position + child.leaf_count]
            position += child.leaf_count
            if not (part and all(a.weight for a in part)):
                kept.append(child)
        return TreeDef("tuple", (TreeDef("tuple", tuple(kept)), named))

    def as_text(self, stage: str = "traced", *, locations: bool = False) -> str:
        """Render the program at a stage, as `Lowered.as_text`.

        Raises:
            ArgumentError: it was loaded from a file without the traced program.
        """
        return self.lowered.as_text(stage, locations=locations)

    @property
    def lowered(self) -> Lowered:
        """What it was compiled from.

        Raises:
            ArgumentError: it was loaded from a file without the traced program.
        """
        return self._lowered if self._lowered is not None else self._revived()

    def _revived(self) -> Lowered:
        from .mlir import mlir
        from .programs import Lowered
        from .trace import Program

        if not self._bytecode:
            errors.fail(errors.ArgumentError, f"{self.name} was saved without its IR")
        module = mlir().ir.Module.parse(self._bytecode, mlir().context)
        tree = self.in_tree or self.out_tree
        program = Program(self.name, module, [], [], tree, self.out_tree)
        return Lowered(program, self.manifest.get("target"))

    def cost_analysis(self) -> dict[str, float | None]:
        """Return `flops` and `bytes accessed` of a call; None where sizes are dynamic."""
        return explain.cost(self.manifest)

    def memory_analysis(self) -> dict[str, Any]:
        """Return bytes of arguments, weights, outputs and scratch memory; None where sizes are dynamic."""
        return explain.memory(self.manifest)

    def explain(self) -> str:
        """Say, kernel by kernel, what was fused, how it is tiled and why, and what it costs."""
        return "\n".join([explain.explain(self.name, self.manifest), *self.explain_variants()])

    def explain_variants(self) -> list[str]:
        """Say which variants there are, and why others are not."""
        if self._after and "device" in self.manifest:
            return [f"no variants: {_NOT_ON_A_GPU}"]
        return [] if self._specializer is None else self._specializer.explain()

    def _variants(self) -> Specializer:
        from .variants import Specializer

        if self._specializer is None:
            self._need_code("specialize")
            if "device" in self.manifest:
                errors.fail(
                    errors.UnsupportedOpError,
                    f"specialize: {_NOT_ON_A_GPU}",
                    help="compile another program for these sizes: tw.spec with numbers instead of names.",
                )
            self._specializer = Specializer(self)
        return self._specializer

    def variants(self) -> list[VariantInfo]:
        """List the variants that calls with certain sizes run instead, those with most calls first."""
        return [] if self._specializer is None else self._specializer.rows()

    @errors.trim_traceback
    def specialize(self, **sizes: int) -> VariantInfo:
        """Compile a variant for certain sizes now; calls with these sizes run it from then on.

        Args:
            sizes: by the name of a `tw.Dim`, or of a size that was given as None as `manifest["symbols"]` has it. Sizes
                that are left out stay symbolic.

        Returns:
            The row of `variants()`.

        Raises:
            ArgumentError: there is no such size, or it cannot have that value.
            LoweringError: as for compiling.
            UnsupportedOpError: weights are bound that the variant would pack in another way; or the target is interp or
                a GPU.

        Example:
            >>> import tilewright as tw
            >>> double = tw.jit(lambda x: x + x).compile(tw.spec((tw.Dim("n"), 64)))
            >>> double.specialize(n=7).guard
            {'n': 7}
        """
        return self._variants().specialize(sizes)

    def despecialize(self) -> None:
        """Drop all variants and make no more: calls run the code for all sizes; those under way end as they began."""
        if self._specializer is not None:
            self._specializer.despecialize()

    @errors.trim_traceback
    def save(self, path: str | os.PathLike[str], *, include_weights: bool = True) -> None:
        """Save code, manifest, traced program and bound weights in one file that `tw.load` reads.

        Raises:
            OSError: the file cannot be written.
            UnsupportedOpError: the target `interp` has no code to save.
        """
        from .runtime import artifact

        self._need_code("save")
        info = {
            "name": self.name,
            "in_tree": None if self.in_tree is None else self.in_tree.to_json(),
            "out_tree": self.out_tree.to_json(),
        }
        from .programs import to_bytecode

        bytecode = self._bytecode
        if self._lowered is not None:
            bytecode = to_bytecode(self._lowered.program.module)
        program = artifact.Program(self.executable, bytecode, info)
        artifact.save(path, {"main": program}, include_weights=include_weights)

    @errors.trim_traceback
    def export(self, directory: str | os.PathLike[str], name: str | None = None) -> list[Any]:
        """Write object, C header and manifest for programs without Python; see `tilewright.runtime.export`.

        Returns:
            The files.
        """
        from .runtime import export

        self._need_code("export")
        if "device" in self.manifest:
            errors.fail(
                errors.UnsupportedOpError,
                "export: programs for a GPU need the runtime, which starts their kernels",
                help="use save and tw.load.",
            )
        return export.export(self.executable, directory, name or plain_name(self.name))

    def _need_code(self, what: str) -> None:
        if not hasattr(self.executable, "object"):
            errors.fail(
                errors.UnsupportedOpError,
                f"{what}: target interp has no compiled code",
                help="use target='cpu'.",
            )

    def __repr__(self) -> str:
        arguments = ", ".join(_show(a) for a in self.manifest["args"] if a["kind"] != "weight")
        return f"<Compiled {self.name}({arguments}) -> ({', '.join(map(_show, self.manifest['outputs']))})>"


def _answer(program: weakref.ref[Compiled], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    called = program()
    assert called is not None
    return called._miss(args, kwargs)


def plain_name(name: str) -> str:
    """A name that files and C functions can have."""
    return "".join(c if c.isalnum() else "_" for c in name)


def _covers(executable: Any, weights: Mapping[str, Any]) -> bool:
    wanted: set[str] = set()
    for a in executable.manifest["args"]:
        if a["kind"] == "weight":
            wanted.update(a.get("sources") or [a["weight"]])
    return wanted <= set(weights)


def _shown(tree: TreeDef) -> str:
    positional, named = tree.children
    parts = [repr(child) for child in positional.children]
    parts += [f"{key}={child!r}" for key, child in zip(named.keys, named.children, strict=True)]
    return f"({', '.join(parts)})"


def _show(entry: Mapping[str, Any]) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    return f"{entry['name']}: {entry['dtype']}[{shape}]" if "name" in entry else f"{entry['dtype']}[{shape}]"


@errors.trim_traceback
def load(path: str | os.PathLike[str]) -> Any:
    """Load a program that `compiled.save` wrote; needs no compiler.

    Args:
        path: the file. Objects in it are machine code: load files of people you trust.

    Returns:
        A `Compiled`; for a file of several programs the `Artifact` that holds them by name.

    Raises:
        FormatError: the file is damaged or of another version.
        DeviceError: it needs processor features that this machine lacks.
        OSError: it cannot be opened.

    Example:
        >>> program = tw.load("program.tw")  # doctest: +SKIP
    """
    return _load(path)


@errors.trim_traceback
def _load(path: str | os.PathLike[str]) -> Any:
    from .runtime import artifact

    loaded = artifact.load(path)
    if list(loaded) != ["main"] or "out_tree" not in loaded.program_info["main"]:
        return loaded
    info = loaded.program_info["main"]
    in_tree = None if info["in_tree"] is None else TreeDef.from_json(info["in_tree"])
    return Compiled(loaded["main"], in_tree, TreeDef.from_json(info["out_tree"]), str(info.get("name", "main")),
                    bytecode=loaded.bytecode("main"))  # fmt: skip
