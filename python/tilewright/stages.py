"""The spine: the ordered table of stages.

Literal data that imports no compiler. A row says what a module promises once it carries the stage's name, and which
passes lead there from the row above. The order of passes is written here alone; `cpp/Stages` checks the promises.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pass:
    """A pass (with options, nested as in a pipeline) and the reason why it stands where it stands."""

    pipeline: str
    reason: str


@dataclass(frozen=True)
class Stage:
    """One row: the name that the module attribute `tw.stage` takes, the promise, and the passes that keep it."""

    name: str
    promise: str
    passes: tuple[Pass, ...] = ()
    #: True where the target's `select` writes configs before the passes run (the only Python in the middle).
    select: bool = False


#: Once over a function: the second look that would confirm that nothing is left takes as long as the first.
CANONICALIZE = "func.func(canonicalize{max-iterations=1})"

STAGES: tuple[Stage, ...] = (
    Stage(
        "traced",
        "func, tw and index arithmetic on ranked tensors; every operation knows the user's line; no target",
    ),
    Stage(
        "tensor",
        "the same, composites decomposed, target facts attached",
        (
            Pass("tw-normalize", "formulas become plain operations, which is all that lower stages know"),
            Pass(CANONICALIZE, "decomposition leaves identities behind"),
            Pass("func.func(cse)", "equal subexpressions of several composites are computed once"),
            Pass("func.func(tw-scale-products)", "weights and their sums are seen to be the same after cse"),
        ),
    ),
    Stage(
        "linalg",
        "linalg on tensors, tensor views, scf; layouts chosen, weight packing in @load functions",
        (
            Pass("tw-to-linalg", "every structured operation becomes one loop nest"),
            Pass("tw-pin-sizes", "sizes are plain arithmetic now, and fusion and layouts are still to come"),
            Pass(CANONICALIZE, "folds sizes, so that fusion sees equal shapes as equal"),
            Pass("func.func(cse)", "one broadcast or constant per value"),
            Pass(
                "func.func(tw-materialize-slices)",
                "moved data is written where it goes before fusion looks at it",
            ),
            Pass("func.func(tw-fuse-elementwise)", "chains become single loop nests"),
            Pass(
                "func.func(tw-split-reductions)",
                "what a long reduction reads is known; its chunks are loops that threads can share",
            ),
            Pass(
                "func.func(tw-factor-sums)",
                "contractions hold their dequantisation; what columns share of it becomes an operand",
            ),
            Pass("tw-choose-layouts", "what contractions read is settled, so it can be packed"),
            Pass("func.func(tw-materialize-slices)", "packing pads the last panel"),
            Pass(CANONICALIZE, "drops reshapes that packing made superfluous"),
            Pass("func.func(cse)", "operands that were packed twice are packed once"),
        ),
    ),
    Stage(
        "kernels",
        "host functions hold kernel calls, views, sizes and control flow; kernels write to their destinations",
        (
            Pass(
                "func.func(tw-materialize-slices{named=true})",
                "canonicalisation erased copies of plain values",
            ),
            Pass("tw-make-shapes", "sizes are derived while every operation can still state its own"),
            Pass("tw-form-kernels", "computations are grouped, outlined and shared"),
        ),
    ),
    Stage(
        "tiled",
        "loops around slices; every computation lies in a loop of its level",
        (
            Pass("func.func(tw-tile-and-fuse)", "loops are made from the configs"),
            Pass("func.func(tw-peel)", "whole tiles get static sizes, remainders a loop of their own"),
            Pass(CANONICALIZE, "folds the sizes of whole tiles into types"),
            Pass("func.func(cse)", "slices that several operations of a tile share are taken once"),
        ),
        select=True,
    ),
    Stage(
        "vector",
        "vectors on slices inside loops; hot loops without masks; accumulators in registers",
        (
            Pass(
                "func.func(tw-vectorize)",
                "register tiles become vector code; what does not change leaves the loops",
            ),
            Pass(CANONICALIZE, "an epilogue reads its accumulators instead of memory"),
            Pass("func.func(cse)", "a panel's vectors are loaded once for all rows of a tile"),
        ),
    ),
    Stage(
        "buffers",
        "memref, vector, scf; outputs are arguments; one planned arena",
        (
            Pass("tw-bufferize", "memory is decided once, for all functions together"),
            Pass(CANONICALIZE, "values that loops update in place leave their arguments"),
            Pass("drop-equivalent-buffer-results", "kernels return their destinations, which callers hold"),
            Pass("func.func(cse)", "equal sizes and slices become one value each"),
            Pass("tw-carry-buffers", "what loops still carry gets one place each"),
            Pass("tw-outputs-to-arguments", "what the caller owns needs no place in the arena"),
            Pass("tw-store-bools", "the ABI stores a boolean in a byte"),
            Pass(
                CANONICALIZE,
                "sizes of buffers become sizes of arguments, which the plan can name",
            ),
            Pass("tw-plan-memory", "every buffer that could be avoided is gone"),
            Pass(CANONICALIZE, "offsets of the arena fold"),
            Pass("func.func(cse)", "slots of equal size are computed once"),
        ),
    ),
    Stage(
        "target",
        "loops, branches and launches; entries of the ABI",
        (
            Pass(
                "func.func(convert-linalg-to-loops)",
                "what was marked `loops` becomes loops that LLVM vectorises",
            ),
            Pass("func.func(tw-cpu-overlap-rows)", "buffers say what rows share, and tasks are still loops"),
            Pass("tw-cpu-threads", "parallel loops become bodies for the thread pool"),
            Pass(CANONICALIZE, "loops that run once vanish"),
            Pass("func.func(cse)", "sizes that bodies compute again are shared"),
            Pass("func.func(loop-invariant-code-motion)", "what a body computes again leaves its loop"),
            # A thread that reads 25 GB/s from memory that answers after 300 ns needs 7.5 KB on the way.
            Pass(
                "func.func(tw-cpu-prefetch{distance=8192})",
                "loops are final, and their reads still have indices",
            ),
            Pass("func.func(tw-cpu-stream)", "tasks are functions, and a fence ends each"),
            Pass("tw-emit-entry", "types still say how arrays are shaped"),
        ),
    ),
    Stage(
        "llvm",
        "the llvm dialect only",
        (
            Pass("tw-cpu-pass-pointers", "what a call only hands on needs no description from here on"),
            Pass("func.func(tw-cpu-lower-vectors)", "wide transfers and copies still need loops"),
            Pass("tw-expand-math", "one function on a vector is the same arithmetic on all lanes"),
            Pass("func.func(tw-expand-float8)", "conversions of 8-bit floats become integer arithmetic"),
            Pass(
                "func.func(arith-emulate-unsupported-floats{source-types=bf16,f16 target-type=f32})",
                "half-precision arithmetic is float32 arithmetic, rounded",
            ),
            Pass(
                "func.func(arith-expand{include-bf16=true})",
                "conversions of bfloat16 become integer arithmetic",
            ),
            Pass("func.func(expand-strided-metadata)", "views become offsets, sizes and strides"),
            Pass("func.func(lower-affine)", "index formulas become arithmetic"),
            Pass("func.func(convert-scf-to-cf)", "loops become branches"),
            Pass(CANONICALIZE, "dead descriptors would cost conversion time"),
            Pass("func.func(cse)", "offsets of neighbouring rows share terms"),
            Pass("tw-cpu-to-llvm", "the last edge, in one conversion"),
            Pass("reconcile-unrealized-casts", "entries and functions meet in descriptors"),
        ),
    ),
)

#: Stage names in order.
NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)


def between(start: str, stop: str, table: tuple[Stage, ...] = STAGES) -> tuple[Stage, ...]:
    """Return the rows after `start` up to and including `stop`, of a target's own `table` where it has one.

    Raises:
        ValueError: If a name is unknown or `stop` lies before `start`.
    """
    for name in (start, stop):
        if name not in NAMES:
            raise ValueError(f"unknown stage {name!r}; stages are {', '.join(NAMES)}")
    first, last = NAMES.index(start), NAMES.index(stop)
    if last < first:
        raise ValueError(f"stage {stop!r} lies before {start!r}; lowering is a one-way street")
    return table[first + 1 : last + 1]


def nested(pipeline: str, anchor: str = "builtin.module") -> str:
    """Return a pipeline text that the pass manager takes."""
    return f"{anchor}({pipeline})"


def pipeline_text(stage: Stage) -> str:
    """Return all passes of a row as one pipeline."""
    return nested(",".join(p.pipeline for p in stage.passes))
