"""What a target's ``select`` may know of a kernel: loops, ranges and how operands are read.

A fact is read from the IR and is plain data, so that ``select`` is a pure function that tests can call without a
compiler.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod
from typing import Any

_DIM = re.compile(r"d(\d+)")
_PANEL = re.compile(r"^d(\d+) (floordiv|mod) (\d+)$")


@dataclass(frozen=True)
class Access:
    """One operand: its static shape (``None`` for a dynamic size) and the loops that index each of its dimensions.

    ``producer`` is the number of the kernel's operation that computes it, if one does; accesses of one array have the
    same number ``array``.
    """

    results: tuple[str, ...]
    shape: tuple[int | None, ...]
    bits: int
    is_output: bool
    producer: int | None = None
    array: int = -1

    def dims(self) -> set[int]:
        """Loops that the operand depends on."""
        return {int(d) for result in self.results for d in _DIM.findall(result)}

    def contiguous_along(self, loop: int) -> bool:
        """True if neighbouring trips of ``loop`` read neighbouring elements (or the operand does not depend on it)."""
        used = [i for i, result in enumerate(self.results) if str(loop) in _DIM.findall(result)]
        if not used:
            return True
        last = len(self.results) - 1
        if used[-1] != last:
            return False
        if self.results[last] == f"d{loop}":
            return len(used) == 1
        panel = _PANEL.match(self.results[last])
        return bool(panel and panel.group(2) == "mod")

    def panel(self, loop: int) -> int | None:
        """The panel width if the operand is packed along ``loop``."""
        match = _PANEL.match(self.results[-1]) if self.results else None
        if match and match.group(2) == "mod" and int(match.group(1)) == loop:
            return int(match.group(3))
        return None


def _bytes(accesses: list[Access]) -> int | None:
    """What the arrays of all accesses take together, if their sizes are known."""
    total = 0
    for access in accesses:
        sizes = [s for s in access.shape if s is not None]
        if len(sizes) != len(access.shape):
            return None
        total += prod(sizes) * max(access.bits, 8) // 8
    return total


@dataclass(frozen=True)
class OpFacts:
    """One linalg operation of a kernel.

    Attributes:
        attributes: names of those that say what it is; `float8` where bytes are widened as 8-bit floats, `tf32` where
            factors may be rounded to TF32, `plain_integers` where integers are multiplied that no tensor core takes,
            `running_product` where a total that is wanted at every element is a product of floats.
        operations: scalar operations of an element, whatever they do.
        flops: those that compute: no conversions, comparisons or moves of bits.
        products: products that one trip of a contraction adds to its sum: several where one instruction does so.
        functions: operations that are formulas of a dozen instructions, such as exponentials.
    """

    index: int
    kind: str
    loops: tuple[str, ...]
    ranges: tuple[int | None, ...]
    accesses: tuple[Access, ...]
    attributes: frozenset[str] = frozenset()
    operations: int = 0
    flops: int = 0
    producers: tuple[int, ...] = ()
    products: int = 1
    functions: int = 0

    @property
    def outputs(self) -> tuple[Access, ...]:
        return tuple(a for a in self.accesses if a.is_output)

    @property
    def inputs(self) -> tuple[Access, ...]:
        return tuple(a for a in self.accesses if not a.is_output)

    def parallel(self) -> list[int]:
        return [i for i, kind in enumerate(self.loops) if kind == "parallel"]

    def reductions(self) -> list[int]:
        return [i for i, kind in enumerate(self.loops) if kind == "reduction"]

    def column_loop(self) -> int:
        """The loop along the last dimension of the first result, or -1: the columns of a contraction."""
        last = self.outputs[0].results[-1:]
        return int(last[0][1:]) if last and re.fullmatch(r"d\d+", last[0]) else -1

    def runs(self) -> bool:
        """A running sum or product: the first result holds the total at every trip of the one reduction loop."""
        reductions = self.reductions()
        if "tw.lowering" not in self.attributes or len(reductions) != 1 or len(self.outputs) != 2:
            return False
        results, total = self.outputs
        return reductions[0] in results.dims() and reductions[0] not in total.dims()

    def contracts(self) -> bool:
        """At least two inputs of a reduction each lack an output loop; the same as `contracts` in Contraction.h."""
        if not self.reductions():
            return False
        outer = set(self.parallel())
        return sum(1 for a in self.inputs if a.dims() and outer - a.dims()) >= 2


@dataclass(frozen=True)
class KernelFacts:
    """A kernel: its operations in order, the root last, and the root's loops that may be spread over threads."""

    name: str
    ops: tuple[OpFacts, ...]
    parallel: tuple[int, ...]
    calls: int = 1

    @property
    def root(self) -> OpFacts:
        return self.ops[-1]

    def work(self) -> int | None:
        """Scalar operations of the kernel if all its sizes are known."""
        total = 0
        for op in self.ops:
            sizes = [r for r in op.ranges if r is not None]
            if len(sizes) != len(op.ranges):
                return None
            total += prod(sizes) * max(op.operations, 1)
        return total

    def bytes(self) -> int | None:
        """Bytes that the kernel's operations read of arrays and write to the result, if all sizes are known."""
        return _bytes([*self._reads(), *self.root.outputs])

    def footprint(self) -> int | None:
        """The same with each array counted once, however many operations read it: what a cache would have to hold."""
        once = {a.array if a.array >= 0 else -1 - i: a for i, a in enumerate(self._reads())}
        return _bytes([*once.values(), *self.root.outputs])

    def _reads(self) -> list[Access]:
        return [a for op in self.ops for a in op.inputs if a.producer is None and a.results]

    def root_loops(self) -> list[dict[int, int]]:
        """For each operation, which of its loops run along which of the root's, seen through what it produces."""
        found: list[dict[int, int]] = [{} for _ in self.ops]
        found[-1] = {d: d for d in range(len(self.root.loops))}
        for op, mine in zip(reversed(self.ops), reversed(found), strict=True):
            for access in op.accesses:
                if access.producer is None or found[access.producer]:
                    continue
                written = self.ops[access.producer].outputs[0].results
                there = dict(zip(access.results, written, strict=True))
                for root_loop, loop in mine.items():
                    wrote = there.get(f"d{loop}", "")
                    if re.fullmatch(r"d\d+", wrote):
                        found[access.producer][root_loop] = int(wrote[1:])
        return found

    def arithmetic(self) -> str:
        """Return its ceiling of arithmetic: that of the narrowest operands that a contraction multiplies."""
        widths = [a.bits for op in self.ops if op.contracts() for a in op.inputs if a.results]
        return {8: "int8", 16: "bf16"}.get(min(widths, default=32), "f32")


@dataclass
class _Reader:
    """Reads facts from operations; caches parsed maps, since a model has few distinct ones."""

    maps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    arrays: dict[Any, int] = field(default_factory=dict)

    def results(self, text: str) -> tuple[str, ...]:
        if text not in self.maps:
            inside = text[text.index("->") + 2 :].strip().rstrip(">").strip()
            self.maps[text] = tuple(part.strip() for part in inside[1:-1].split(",") if part.strip())
        return self.maps[text]


def _bits(element: Any) -> int:
    text = str(element)
    if text == "index":
        return 64
    digits = re.findall(r"\d+", text)
    return int(digits[0]) if digits else 32


def _shape(value: Any, ir: Any) -> tuple[tuple[int | None, ...], int]:
    kind = value.type
    if not isinstance(kind, ir.RankedTensorType):
        return (), _bits(kind)
    sizes = tuple(None if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank))
    return sizes, _bits(kind.element_type)


def _op_facts(op: Any, index: int, positions: dict[Any, int], reader: _Reader, ir: Any) -> OpFacts:
    operands = list(op.operands)
    if op.name == "linalg.generic":
        maps = [reader.results(str(m)) for m in op.attributes["indexing_maps"]]
        # As text: an element of this list would import the Python classes of linalg, for 0.15 s.
        loops = tuple(
            re.findall(r"iterator_type<(parallel|reduction)>", str(op.attributes["iterator_types"]))
        )
        inits = op.attributes["operandSegmentSizes"][1]
    elif op.name == "linalg.copy":
        maps = [tuple(f"d{i}" for i in range(op.results[0].type.rank))] * 2
        loops = ("parallel",) * op.results[0].type.rank
        inits = 1
    else:  # linalg.fill: the scalar, then the destination
        rank = op.results[0].type.rank
        maps = [(), tuple(f"d{i}" for i in range(rank))]
        loops = ("parallel",) * rank
        inits = 1
    accesses = []
    ranges: list[int | None] = [None] * len(loops)
    for position, (operand, results) in enumerate(zip(operands, maps, strict=True)):
        sizes, bits = _shape(operand, ir)
        is_output = position >= len(operands) - inits
        array = reader.arrays.setdefault(operand, len(reader.arrays))
        accesses.append(Access(results, sizes, bits, is_output, positions.get(operand), array))
        for result, size in zip(results, sizes, strict=False):
            if re.fullmatch(r"d\d+", result) and size is not None:
                ranges[int(result[1:])] = size
    operations = flops = functions = 0
    products = 1
    names = _names(op)
    if op.name == "linalg.generic":
        inside = _walk(op, ir)
        operations = sum(1 for inner in inside if inner.name.startswith(("arith.", "math.")))
        flops = sum(_flops(inner) for inner in inside)
        functions = sum(1 for inner in inside if _FUNCTIONS.match(inner.name))
        products = max((_group(inner) for inner in inside if inner.name == "rt.group_dot"), default=1)
        if any(inner.name == "arith.extf" and str(inner.operands[0].type) in _FLOAT8 for inner in inside):
            names.append("float8")
        if any("tw.precision" in inner.attributes for inner in inside):
            names.append("tf32")
        arithmetic = {inner.name for inner in inside}
        if "tw.lowering" in names and "arith.mulf" in arithmetic and "arith.addf" not in arithmetic:
            names.append("running_product")
        if _multiplies_plain_integers(inside):
            names.append("plain_integers")
    producers = tuple(positions[o] for o in operands if o in positions)
    return OpFacts(
        index,
        op.name,
        loops,
        tuple(ranges),
        tuple(accesses),
        frozenset(names),
        operations,
        flops,
        producers,
        products,
        functions,
    )


def _multiplies_plain_integers(inside: list[Any]) -> bool:
    """Whether a body multiplies integers which are no int8 whose products are summed up in 32 bits."""
    widened = any(
        inner.name == "arith.extsi"
        and str(inner.operands[0].type) == "i8"
        and str(inner.results[0].type) == "i32"
        for inner in inside
    )
    return not widened and any(inner.name == "arith.muli" for inner in inside)


_FLOAT8 = ("f8E4M3FN", "f8E5M2")
_COMPUTES = re.compile(r"math\.|arith\.(add|sub|mul|div|rem|neg|max|min|ceildiv|floordiv)")
_FUNCTIONS = re.compile(r"math\.(exp|log|a?(sin|cos|tan)|erf|powf|cbrt)")
#: Elements that one operation of each of its operands' widths sums up: bytes by four, bfloat16 by two.
_GROUP_PRODUCTS = {"i32": 4, "f32": 2}


def _group(op: Any) -> int:
    """Return how many products a `rt.group_dot` sums up."""
    return _GROUP_PRODUCTS[str(op.results[0].type)]


def _flops(op: Any) -> int:
    """Scalar operations that compute; those of a group's products and their sum."""
    if op.name == "rt.group_dot":
        return 2 * _group(op) - 1
    return 1 if _COMPUTES.match(op.name) else 0


def _names(op: Any) -> list[str]:
    return [
        name for name in ("tw.lowering", "tw.panel", "tw.dequantize", "tw.group_dot") if name in op.attributes
    ]


def _walk(op: Any, ir: Any) -> list[Any]:
    """All operations inside `op`, as plain operations: their Python classes cost 0.2 s to import and are not needed."""
    found: list[Any] = []

    def visit(inner: Any) -> Any:
        found.append(inner)
        return ir.WalkResult.ADVANCE

    op.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def read(kernel: Any, ir: Any) -> tuple[KernelFacts, list[Any]]:
    """Read a kernel function.

    Args:
        kernel: The ``func.func`` operation of a kernel at stage ``kernels``.
        ir: The module ``tilewright._mlir.ir``.

    Returns:
        The facts and, in the same order, the linalg operations they describe.
    """
    reader = _Reader()
    ops: list[Any] = []
    facts: list[OpFacts] = []
    positions: dict[Any, int] = {}
    parallel: tuple[int, ...] = ()
    for op in _walk(kernel, ir):
        if op.name not in ("linalg.generic", "linalg.fill", "linalg.copy"):
            continue
        facts.append(_op_facts(op, len(ops), positions, reader, ir))
        # By results, since asking a value for its operation imports that operation's class.
        positions.update((result, len(ops)) for result in op.results)
        ops.append(op)
        if "tw.parallel" in op.attributes:
            parallel = tuple(op.attributes["tw.parallel"])
    name = ir.StringAttr(kernel.attributes["sym_name"]).value
    return KernelFacts(name, tuple(facts), parallel), ops
