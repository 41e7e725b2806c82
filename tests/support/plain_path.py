"""Runs a module at any stage without our optimising passes: what a dump means, by a second way.

- `traced`, `tensor`: the interpreter runs the operations.
- `linalg`, `kernels`, `tiled`: passes of upstream MLIR alone turn tensors into loops over memory, a C linker makes a
  library of them, `ctypes` calls it. Neither our passes nor our runtime have a part in it.
- `vector` and later: what only our own passes lower goes through them, but nothing is canonicalised, no subexpression is
  shared, and LLVM optimises nothing.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tilewright import dtypes, runtime, stages
from tilewright.mlir import mlir
from tilewright.pipeline import stage_of
from tilewright.targets import base

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_cc = pytest.mark.skipif(CC is None, reason="needs a C compiler to link what upstream's passes make")

#: From tensors to LLVM, in passes of upstream alone.
UPSTREAM = (
    "one-shot-bufferize{bufferize-function-boundaries=true allow-return-allocs-from-loops=true}",
    "tw-store-bools",  # the one pass of ours: upstream refuses memory of i1
    "func.func(scf-forall-to-for)",
    "func.func(convert-linalg-to-loops)",
    "func.func(convert-vector-to-scf{full-unroll=true})",
    "expand-strided-metadata",
    "lower-affine",
    "convert-scf-to-cf",
    "func.func(llvm-request-c-wrappers)",
    "convert-vector-to-llvm",
    "convert-math-to-llvm",
    "convert-math-to-libm",
    "convert-arith-to-llvm",
    "finalize-memref-to-llvm",
    "convert-func-to-llvm",
    "convert-cf-to-llvm",
    "reconcile-unrealized-casts",
)
#: Passes that change no meaning and that no later pass may need.
OPTIMISING = ("canonicalize", "cse", "loop-invariant-code-motion")

#: What `memref.copy` between layouts calls: `rank` and a descriptor (base, start, offset, sizes, strides) on each side.
COPY = """
#include <stdint.h>
#include <string.h>
typedef struct { int64_t rank; void *memory; } Unranked;
void memrefCopy(int64_t bytes, Unranked *from, Unranked *to) {
  int64_t *f = from->memory, *t = to->memory, rank = from->rank, index[16] = {0};
  int64_t *sizes = f + 3, *in = f + 3 + rank, *out = t + 3 + rank;
  for (int64_t d = 0; d < rank; ++d) if (sizes[d] == 0) return;
  for (;;) {
    int64_t source = f[2], target = t[2], d = rank - 1;
    for (int64_t k = 0; k < rank; ++k) { source += index[k] * in[k]; target += index[k] * out[k]; }
    memcpy((char *)t[1] + target * bytes, (char *)f[1] + source * bytes, bytes);
    for (; d >= 0; --d) { if (++index[d] < sizes[d]) break; index[d] = 0; }
    if (d < 0) return;
  }
}
"""


def run(module: Any, inputs: Sequence[np.ndarray], manifest: dict[str, Any]) -> list[np.ndarray]:
    """Run `@main` of a module that carries its stage.

    Args:
        module: the module; it is changed.
        inputs: one array per argument of the traced program.
        manifest: that of the compiled program: from `buffers` on, the module no longer says what its results were.
    """
    stage = stage_of(module)
    with module.context:
        if stage in ("traced", "tensor"):
            return base.find("interp").run(module, inputs)
        if stage in ("linalg", "kernels", "tiled", "vector"):
            return _Library(module).main(inputs)
        return _resume(module, stage, inputs, manifest)


def _passes(module: Any, pipeline: str) -> None:
    from tilewright._mlir.passmanager import PassManager

    PassManager.parse(stages.nested(pipeline), module.context).run(module.operation)


def _resume(
    module: Any, stage: str, inputs: Sequence[np.ndarray], manifest: dict[str, Any]
) -> list[np.ndarray]:
    for row in stages.between(stage, "llvm"):
        _passes(module, ",".join(p.pipeline for p in row.passes if p.pipeline not in OPTIMISING))
    code = base.find("cpu").emit(module, opt_level=0)
    return list(runtime.Executable(code, manifest).call_tuple(*inputs))


class _Library:
    """A module's functions as C functions, each with the types that it had on tensors."""

    def __init__(self, module: Any):
        ir = mlir().ir
        self.functions: dict[str, Any] = {}
        for view in list(module.body.operations):
            op = view.operation
            if op.name == "tw.dim_symbol":
                op.erase()
            elif op.name == "func.func" and "tw.shapes" in op.attributes:
                op.erase()  # sizes are read off the results
            else:
                self._declare(op, ir)
        _reshape_by_sizes(module, ir)
        _passes(module, ",".join(UPSTREAM))
        self.library = _link(base.find("cpu").emit(module, opt_level=0))

    def _declare(self, op: Any, ir: Any) -> None:
        kind = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value)
        given = op.attributes["arg_attrs"] if "arg_attrs" in op.attributes else [()] * len(kind.inputs)
        attributes = [{each.name: each.attr for each in row} for row in given]
        name = ir.StringAttr(op.attributes["sym_name"]).value
        dropped = (
            list(op.attributes["tw.dropped_arguments"]) if "tw.dropped_arguments" in op.attributes else []
        )
        self.functions[name] = (attributes, list(kind.results), dropped)
        # Callers of a program keep their arguments: bufferisation must not use them as memory of its own. Kernels write
        # to theirs, in whatever layout they come.
        facts = {} if "tw.kernel" in op.attributes else {"bufferization.writable": ir.BoolAttr.get(False)}
        op.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(facts)] * len(kind.inputs))

    def main(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        ir = mlir().ir
        attributes, _, dropped = self.functions["main"]
        arguments = [x for i, x in enumerate(inputs) if i not in dropped]
        for each in attributes[len(arguments) :]:
            sources = [inputs[ir.IntegerAttr(s).value] for s in each["tw.sources"]]
            arguments += self.call(ir.StringAttr(each["tw.packed_by"]).value, sources)
        return self.call("main", arguments)

    def call(self, name: str, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Call a function; memory that it allocates for itself is not given back."""
        results = [mlir().ir.RankedTensorType(kind) for kind in self.functions[name][1]]
        memory = (ctypes.c_int64 * sum(3 + 2 * kind.rank for kind in results))()
        arrays = [np.ascontiguousarray(x) for x in arguments]
        descriptors = [_descriptor(x) for x in arrays]
        self.library[f"_mlir_ciface_{name}"](memory, *descriptors)
        outputs, start = [], 0
        for kind in results:
            row = memory[start : start + 3 + 2 * kind.rank]
            outputs.append(_read(row, kind))
            start += len(row)
        return outputs


def _reshape_by_sizes(module: Any, ir: Any) -> None:
    """Write `tensor.expand_shape` as `tensor.reshape`: upstream lowers the former for one unknown size alone."""
    found = []

    def visit(op: Any) -> Any:
        if op.name == "tensor.expand_shape":
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        sizes, index = list(op.operands)[1:], ir.IndexType.get()
        with ir.InsertionPoint(op), op.location:
            values = [
                sizes.pop(0)
                if size == ir.ShapedType.get_dynamic_size()
                else ir.Operation.create(
                    "arith.constant", [index], attributes={"value": ir.IntegerAttr.get(index, size)}
                ).result
                for size in op.attributes["static_output_shape"]
            ]
            kind = ir.RankedTensorType.get([len(values)], index)
            shape = ir.Operation.create("tensor.from_elements", [kind], values)
            reshaped = ir.Operation.create("tensor.reshape", [op.result.type], [op.operands[0], shape.result])
        op.result.replace_all_uses_with(reshaped.result)
        op.erase()


def _descriptor(x: np.ndarray) -> ctypes.Array:
    strides = [stride // x.itemsize for stride in x.strides]
    row = [x.ctypes.data, x.ctypes.data, 0, *x.shape, *strides]
    return (ctypes.c_int64 * len(row))(*row)


def _read(row: Sequence[int], kind: Any) -> np.ndarray:
    dtype = np.dtype(dtypes.by_mlir(str(kind.element_type)).numpy)
    sizes, strides = row[3 : 3 + kind.rank], row[3 + kind.rank :]
    if 0 in sizes:
        return np.empty(sizes, dtype)
    span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides))
    raw = ctypes.string_at(row[1] + row[2] * dtype.itemsize, span * dtype.itemsize)
    flat = np.frombuffer(raw, dtype)
    return np.lib.stride_tricks.as_strided(flat, sizes, [s * dtype.itemsize for s in strides]).copy()


def _link(code: bytes) -> ctypes.CDLL:
    assert CC is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "code.o").write_bytes(code)
        (path / "copy.c").write_text(COPY)
        command = [CC, "-shared", "-fPIC", "-O1", "copy.c", "code.o", "-lm", "-o", "code.so"]
        subprocess.run(command, cwd=path, check=True)
        return ctypes.CDLL(str(path / "code.so"))
