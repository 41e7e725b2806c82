"""What the stages do for a GPU where it differs from the CPU: rows that take the place of those of the shared table.

Up to `kernels` a program takes the shared way, but for passes that lay out or split what the CPU's caches and vectors
want so. From there on a computation stays one `linalg` operation until `target`, where many threads take it apart.
"""

from __future__ import annotations

from dataclasses import replace

from ... import stages
from ...stages import Pass, Stage
from . import dots

#: Shared passes whose decisions are the CPU's: panels of weights, factors of sums over vectors, where a softmax that a
#: product follows is normalised (a kernel of attention does so itself).
LEFT_OUT = ("tw-choose-layouts", "func.func(tw-factor-sums)", "func.func(tw-scale-products)")

_TILED = (
    Pass("func.func(canonicalize)", "nothing is tiled before threads are known; sizes fold"),
    Pass("func.func(cse)", "equal sizes become one value each"),
)

_VECTOR = (Pass("func.func(tw-cuda-assign-kernels)", "each computation learns how threads will share it"),)

_TARGET = (
    Pass("tw-cuda-launches", "computations become kernels and launches; buffers are final"),
    Pass("func.func(canonicalize)", "sizes that only the computations needed vanish from host code"),
    Pass("func.func(cse)", "sizes that several launches pass are computed once"),
    Pass(
        "gpu.module(func.func(canonicalize,cse,loop-invariant-code-motion))",
        "one thread's code is plain code",
    ),
    Pass(
        "gpu.module(func.func(tw-cuda-small-integers))",
        "it is known by now which bits of a word are wanted",
    ),
    Pass("tw-cpu-threads", "host functions take the table of the runtime"),
    Pass("tw-emit-entry", "types still say how arrays are shaped"),
)

_LLVM = (
    Pass("gpu.module(func.func(tw-expand-float8))", "conversions of 8-bit floats become integer arithmetic"),
    Pass("gpu.module(func.func(arith-emulate-unsupported-floats{source-types=bf16,f16 target-type=f32}))",
         "half-precision arithmetic is float32 arithmetic, rounded, as on the CPU"),
    Pass("gpu.module(func.func(lower-affine,convert-scf-to-cf,canonicalize,cse))", "loops become branches"),
    Pass("tw-cuda-to-nvvm", "device code has its own conversion"),
    Pass("tw-cuda-lower-launches", "launches become calls of the runtime's table"),
    Pass("func.func(tw-cpu-expanded-shapes)", "the next pass describes groups of one dynamic size"),
    Pass("func.func(expand-strided-metadata)", "views of host code become offsets, sizes and strides"),
    Pass("func.func(lower-affine)", "index formulas become arithmetic"),
    Pass("func.func(convert-scf-to-cf)", "control flow of host code becomes branches"),
    Pass("func.func(arith-expand)", "divisions that round up or down become plain ones"),
    Pass("func.func(canonicalize)", "dead descriptors would cost conversion time"),
    Pass("func.func(cse)", "sizes are computed once"),
    Pass("tw-cpu-to-llvm", "host code is code of the CPU"),
    Pass("reconcile-unrealized-casts", "entries and functions meet in descriptors"),
)  # fmt: skip

_OWN = {"tiled": _TILED, "vector": _VECTOR, "target": _TARGET, "llvm": _LLVM}

_OPTIONS = {
    # Scratch memory of kernels is the device's: none of it is a thread's stack.
    "tw-plan-memory": "tw-plan-memory{stack-bytes=0 stack-total=0}",
    # Blocks share the keys of attention in their own way (`attention.py`), which needs its softmax in one piece.
    "func.func(tw-split-reductions)": "func.func(tw-split-reductions{between-products=false})",
    # A thread dequantises once for all of the few rows that it keeps in registers.
    "func.func(tw-fuse-elementwise)": f"func.func(tw-fuse-elementwise{{rows={dots.MOST_ROWS}}})",
}


def _row(stage: Stage) -> Stage:
    if stage.name in _OWN:
        return replace(stage, passes=_OWN[stage.name])
    kept = (p for p in stage.passes if p.pipeline not in LEFT_OUT)
    return replace(
        stage, passes=tuple(replace(p, pipeline=_OPTIONS.get(p.pipeline, p.pipeline)) for p in kept)
    )


#: The table of a GPU: the same stages, the same promises.
STAGES: tuple[Stage, ...] = tuple(_row(stage) for stage in stages.STAGES)
