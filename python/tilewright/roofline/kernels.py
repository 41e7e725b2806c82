"""Times the kernels of a program one by one, each as a program of its own.

In comes a lowered program. Each kernel of its stage `kernels` is taken out into a module whose `@main` calls it once;
that module goes on through the ordinary stages, so the code is the one that the program runs. It is timed twice: *hot*,
again and again on the same arrays, and *cold*, on sets of arrays that are together far larger than the last cache.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dtypes, explain
from .ceilings import Ceilings

ROUND_S = 0.03  # of one sample
ROUNDS = 5
COLD_LIMIT = 1 << 30  # bytes that all cold sets may take


@dataclass(frozen=True)
class Measured:
    """One kernel.

    Attributes:
        name, calls: of the kernel, and how often the program calls it.
        lines: the user's lines in it.
        flops, bytes: of one call, as `explain()` counts them; None where sizes are dynamic.
        dtype: which ceiling of arithmetic it has.
        hot_s, cold_s: seconds of one call; None where it was not timed.
        reason: why it was not timed.
    """

    name: str
    calls: int
    lines: tuple[str, ...]
    flops: int | None
    bytes: int | None
    dtype: str
    hot_s: float | None = None
    cold_s: float | None = None
    reason: str | None = None

    def share_of_roof(self, ceilings: Ceilings) -> float | None:
        """Return the least time that the machine allows for a cold call, over the time measured."""
        if self.cold_s is None or self.flops is None or self.bytes is None:
            return None
        least = ceilings.least_s(self.flops, self.bytes, self.dtype)
        return None if least is None else least / self.cold_s


def measure(module: Any, target: str, progress: Callable[[int, int], None] | None = None) -> list[Measured]:
    """Time the kernels of a program.

    Args:
        module: the program at any stage up to `kernels`.
        target: name of a target that compiles for this machine.
        progress: is told (done, total).

    Returns:
        One entry per kernel, the ones that take most of a run first.

    Raises:
        LoweringError: a pass refused.
    """
    from .. import pipeline
    from ..targets import base

    machine = base.find(target)
    report = pipeline.Report()
    kernels = pipeline.lower(module, machine, "kernels")
    # `select` reads the facts of every kernel on the way.
    pipeline.lower(kernels, machine, "tiled", report=report)
    cached_bytes = machine.cache_bytes(3) or machine.cache_bytes(2)
    calls = _calls_of_main(kernels)
    wanted = [kernel for kernel in report.kernels if kernel.facts.name in calls]
    found = []
    for done, kernel in enumerate(wanted):
        if progress:
            progress(done, len(wanted))
        found.append(_measure_one(kernels, machine, kernel, calls[kernel.facts.name], cached_bytes))
    return sorted(found, key=lambda k: -k.calls * (k.cold_s or 0.0))


def _calls_of_main(module: Any) -> Counter[str]:
    """Count the calls of a run by kernel; packing weights is no part of it, and a loop's body counts once."""
    from .._mlir import ir

    calls: Counter[str] = Counter()

    def visit(op: Any) -> Any:
        if op.name == "func.call":
            calls[ir.FlatSymbolRefAttr(op.attributes["callee"]).value] += 1
        return ir.WalkResult.ADVANCE

    for view in module.body.operations:
        if "tw.host" in view.operation.attributes:
            view.operation.walk(visit)
    return calls


def _measure_one(module: Any, target: Any, kernel: Any, calls: int, cached_bytes: int) -> Measured:
    described = {
        "ops": [
            {"ranges": op.ranges, "flops": op.flops,
             "operands": [{"shape": a.shape, "bits": a.bits, "output": a.is_output} for a in op.accesses]}
            for op in kernel.facts.ops
        ]
    }  # fmt: skip
    facts = {
        "name": kernel.facts.name, "calls": calls, "lines": tuple(kernel.lines),
        "dtype": kernel.facts.arithmetic(),
        "flops": explain.kernel_flops(described), "bytes": explain.kernel_bytes(described),
    }  # fmt: skip
    alone = _alone(module, kernel.facts.name)
    if alone is None:
        return Measured(**facts, reason="its sizes are known at run time only")
    from .. import pipeline, runtime

    code, manifest = pipeline.compile(alone, target)
    executable = runtime.Executable(code, manifest)
    one = [_example(entry) for entry in manifest["args"]]
    size = sum(x.nbytes for x in one) or 1
    count = min(max(2, math.ceil(2 * cached_bytes / size)), max(2, COLD_LIMIT // size), 4096)
    sets = [one, *([x.copy() for x in one] for _ in range(count - 1))]
    return Measured(**facts, hot_s=_time(executable, sets[:1]), cold_s=_time(executable, sets))


def _example(entry: dict[str, Any]) -> np.ndarray:
    """Return an array that a kernel takes: integers are 0, an index that is always in range."""
    dtype = dtypes.by_name(entry["dtype"]).numpy
    if dtype.kind in "iub":
        return np.zeros(entry["shape"], dtype)
    return np.random.default_rng(0).random(entry["shape"], np.float32).astype(dtype)


def _time(call: Any, sets: list[list[np.ndarray]]) -> float:
    """Return the seconds of one call: the median of some rounds, each of which goes through all sets."""
    for arrays in sets:
        call(*arrays)
    samples = []
    for _ in range(ROUNDS):
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < ROUND_S or not calls:
            for arrays in sets:
                call(*arrays)
            calls += len(sets)
        samples.append((time.perf_counter() - start) / calls)
    return statistics.median(samples)


def _alone(module: Any, name: str) -> Any | None:
    """Return a module at stage `kernels` whose `@main` calls one kernel; None if its sizes are not static."""
    from .._mlir import ir
    from .._mlir._mlir_libs import _tilewright
    from ..manifest import ATTRIBUTE

    with module.context, ir.Location.unknown():
        alone = _tilewright.clone_module(module)
        kernel = None
        for view in list(alone.body.operations):
            op = view.operation
            if "sym_name" in op.attributes and ir.StringAttr(op.attributes["sym_name"]).value == name:
                kernel = op
            else:
                op.erase()
        if ATTRIBUTE in alone.operation.attributes:
            del alone.operation.attributes[ATTRIBUTE]  # it describes the whole program
        assert kernel is not None
        kind = ir.FunctionType(ir.TypeAttr(kernel.attributes["function_type"]).value)
        tensors = [t for t in kind.inputs if isinstance(t, ir.RankedTensorType) and t.has_static_shape]
        if len(tensors) != len(kind.inputs):
            return None
        # Destinations come last, one for each result.
        inputs, results = list(kind.inputs)[: len(kind.inputs) - len(kind.results)], list(kind.results)
        index = ir.IndexType.get()
        sizes = [size for result in results for size in ir.RankedTensorType(result).shape]

        def shapes(_: Any) -> list[Any]:
            return [
                _op("arith.constant", [index], value=ir.IntegerAttr.get(index, size)).result for size in sizes
            ]

        def main(arguments: list[Any]) -> list[Any]:
            destinations = [_op("tensor.empty", [result]).result for result in results]
            operands = [*arguments, *destinations]
            callee = ir.FlatSymbolRefAttr.get(name)
            return list(_op("func.call", results, operands, callee=callee).results)

        with ir.InsertionPoint.at_block_begin(alone.body):
            _function("shapes", inputs, [index] * len(sizes), "tw.shapes", shapes)
            _function("main", inputs, results, "tw.host", main)
        return alone


def _op(name: str, results: list[Any], operands: Any = (), **attributes: Any) -> Any:
    from .._mlir import ir

    return ir.Operation.create(name, results=results, operands=list(operands), attributes=attributes)


def _function(
    name: str, inputs: list[Any], results: list[Any], role: str, body: Callable[[Any], list]
) -> None:
    from .._mlir import ir

    function = ir.Operation.create(
        "func.func", regions=1,
        attributes={
            "sym_name": ir.StringAttr.get(name), role: ir.UnitAttr.get(),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(inputs, results)),
        },
    )  # fmt: skip
    block = function.regions[0].blocks.append(*inputs)
    with ir.InsertionPoint(block):
        _op("func.return", [], body(list(block.arguments)))
