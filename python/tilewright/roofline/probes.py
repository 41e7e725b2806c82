"""The probes: loops of one instruction, in the dialect of the last stage, emitted like any other kernel.

What they reach is the hardware's limit and not that of a pass: nothing lies between them and LLVM. In comes the width
of the machine's vectors; out go functions of the ABI of compiled code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROUNDS = 2_000_000  # of a probe of arithmetic
ACCUMULATORS = 12  # chains: more than latency times units, and they fit 16 registers


@dataclass(frozen=True)
class Arithmetic:
    """A multiply-add instruction.

    Attributes:
        name: what it is called in results: "f32", "bf16", "int8".
        feature: what the CPU must have.
        accumulator, operand: element types of the vectors.
        narrowing: operands per accumulator element.
        intrinsic: LLVM's name; None for `llvm.intr.fma`.
        bits: width of the vectors.
    """

    name: str
    feature: str
    accumulator: str
    operand: str
    narrowing: int
    intrinsic: str | None
    bits: int

    @property
    def operations(self) -> int:
        """Operations of one instruction; a multiply-add counts two."""
        return 2 * self.bits // 32 * self.narrowing


#: The widest that the CPU has is taken, so wide ones come first.
ARITHMETIC = (
    Arithmetic("f32", "+avx512f", "f32", "f32", 1, None, 512),
    Arithmetic("f32", "+fma", "f32", "f32", 1, None, 256),
    Arithmetic("bf16", "+avx512bf16", "f32", "bf16", 2, "llvm.x86.avx512bf16.dpbf16ps.512", 512),
    Arithmetic("int8", "+avx512vnni", "i32", "i8", 4, "llvm.x86.avx512.vpdpbusd.512", 512),
)


class ProbeBuilder:
    """Builds probes into one module.

    Args:
        ir: the bindings of MLIR's core.
        module: where the functions go; its context is the current one.
    """

    def __init__(self, ir: Any, module: Any) -> None:
        self.ir, self.module = ir, module
        self.pointer = ir.Type.parse("!llvm.ptr")
        self._at: Any = None  # where the next operation goes
        self.i64, self.i32 = ir.IntegerType.get_signless(64), ir.IntegerType.get_signless(32)

    def arithmetic(self, symbol: str, kind: Arithmetic) -> None:
        """Add a function of ROUNDS times ACCUMULATORS instructions on registers.

        Its input is an array of ACCUMULATORS + 1 vectors, its output one vector.
        """
        lanes = kind.bits // 32
        vector = self._vector(lanes, kind.accumulator)
        operand = self._vector(lanes * kind.narrowing, kind.operand)

        def body(inputs: Any, outputs: Any) -> None:
            data = self._load(inputs, self.pointer)
            x = self._load(data, operand)
            # Chains that start alike could be merged.
            places = [self._constant((i + 1) * lanes) for i in range(ACCUMULATORS)]
            start = [self._load(self._offset(data, at, "f32"), vector) for at in places]

            def round_of(_: Any, sums: list[Any]) -> list[Any]:
                return [self._multiply_add(kind, vector, total, x) for total in sums]

            sums = self._loop(self._constant(ROUNDS), 1, start, round_of)
            self._finish(self._load(outputs, self.pointer), sums)

        self._function(symbol, body)

    def read(self, symbol: str, lanes: int, passes: int) -> None:
        """Add a function that reads its input, float32 [n], `passes` times; n is a multiple of lanes x ACCUMULATORS."""
        vector = self._vector(lanes, "f32")

        def body(inputs: Any, outputs: Any) -> None:
            data = self._load(inputs, self.pointer)
            dims = self._load(self._offset(inputs, self._constant(8), "i8"), self.pointer)
            size = self._load(dims, self.i64)
            start = [self._op("llvm.mlir.zero", [vector])] * ACCUMULATORS

            def step(at: Any, sums: list[Any]) -> list[Any]:
                found = []
                for i, total in enumerate(sums):
                    index = self._op("llvm.add", [self.i64], [at, self._constant(i * lanes)])
                    value = self._load(self._offset(data, index, "f32"), vector)
                    found.append(self._op("llvm.fadd", [vector], [total, value]))
                return found

            def one_pass(_: Any, sums: list[Any]) -> list[Any]:
                return self._loop(size, lanes * ACCUMULATORS, sums, step)

            sums = self._loop(self._constant(passes), 1, start, one_pass)
            self._finish(self._load(outputs, self.pointer), sums)

        self._function(symbol, body)

    # ---- operations ------------------------------------------------------------------------------------------------

    def _op(self, name: str, results: list[Any], operands: Any = (), **attributes: Any) -> Any:
        made = self.ir.Operation.create(
            name, results=results, operands=list(operands), attributes=attributes, ip=self._at
        )
        return made.result if results else made

    def _vector(self, lanes: int, element: str) -> Any:
        return self.ir.VectorType.get([lanes], self.ir.Type.parse(element))

    def _constant(self, value: int) -> Any:
        return self._op("llvm.mlir.constant", [self.i64], value=self.ir.IntegerAttr.get(self.i64, value))

    def _load(self, address: Any, kind: Any) -> Any:
        # Arrays are aligned to their elements only.
        return self._op("llvm.load", [kind], [address], alignment=self.ir.IntegerAttr.get(self.i64, 4))

    def _offset(self, base: Any, index: Any, element: str) -> Any:
        return self._op(
            "llvm.getelementptr", [self.pointer], [base, index],
            elem_type=self.ir.TypeAttr.get(self.ir.Type.parse(element)),
            rawConstantIndices=self.ir.DenseI32ArrayAttr.get([-(2**31)]),
        )  # fmt: skip

    def _multiply_add(self, kind: Arithmetic, vector: Any, total: Any, x: Any) -> Any:
        if kind.intrinsic is None:
            return self._op("llvm.intr.fma", [vector], [x, x, total])
        return self._op(
            "llvm.call_intrinsic", [vector], [total, x, x], intrin=self.ir.StringAttr.get(kind.intrinsic),
            operandSegmentSizes=self.ir.DenseI32ArrayAttr.get([3, 0]),
            op_bundle_sizes=self.ir.DenseI32ArrayAttr.get([]),
        )  # fmt: skip

    def _finish(self, address: Any, sums: list[Any]) -> None:
        """Store the sum of all chains, so that none is dead, and return 0."""
        add = "llvm.fadd" if "f32" in str(sums[0].type) else "llvm.add"
        total = sums[0]
        for other in sums[1:]:
            total = self._op(add, [total.type], [total, other])
        self._op("llvm.store", [], [total, address], alignment=self.ir.IntegerAttr.get(self.i64, 4))
        status = self._op("llvm.mlir.constant", [self.i32], value=self.ir.IntegerAttr.get(self.i32, 0))
        self._op("llvm.return", [], [status])

    def _loop(
        self, count: Any, step: int, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """Build `for (i = 0; i < count; i += step)`, which runs at least once; what follows goes behind it.

        Args:
            carried: the values that a trip hands to the next.
            body: (i, carried) → carried.

        Returns:
            What the last trip hands on.
        """
        kinds = [value.type for value in carried]
        head = self._at.block.create_after(self.i64, *kinds)
        after = head.create_after(*kinds)
        start = self._constant(0)
        self.ir.Operation.create("llvm.br", operands=[start, *carried], successors=[head], ip=self._at)
        self._at = self.ir.InsertionPoint(head)
        found = body(head.arguments[0], list(head.arguments)[1:])
        following = self._op("llvm.add", [self.i64], [head.arguments[0], self._constant(step)])
        ult = self.ir.IntegerAttr.get(self.i64, 6)
        more = self._op("llvm.icmp", [self.ir.IntegerType.get_signless(1)], [following, count], predicate=ult)
        sizes = self.ir.DenseI32ArrayAttr.get([1, 1 + len(found), len(found)])
        self.ir.Operation.create(
            "llvm.cond_br", operands=[more, following, *found, *found], successors=[head, after],
            attributes={"operandSegmentSizes": sizes}, ip=self._at,
        )  # fmt: skip
        self._at = self.ir.InsertionPoint(after)
        return list(after.arguments)

    def _function(self, symbol: str, body: Callable[[Any, Any], None]) -> None:
        ir = self.ir
        function = ir.Operation.create(
            "llvm.func", regions=1, ip=ir.InsertionPoint(self.module.body),
            attributes={
                "sym_name": ir.StringAttr.get(symbol),
                "function_type": ir.TypeAttr.parse("!llvm.func<i32 (ptr, ptr, ptr, ptr)>"),
                "linkage": ir.Attribute.parse("#llvm.linkage<external>"),
            },
        )  # fmt: skip
        entry = function.regions[0].blocks.append(*[self.pointer] * 4)
        self._at = ir.InsertionPoint(entry)
        _, inputs, outputs, _ = entry.arguments
        body(inputs, outputs)
