"""How the CUDA target's select spreads computations over threads: facts in, configs out, no compiler needed."""

from __future__ import annotations

import pytest
from tilewright.targets.cuda import select
from tilewright.targets.facts import Access, KernelFacts, OpFacts


def reduction(rows, length, order=("d0", "d1"), **kwargs) -> OpFacts:
    """A sum over the second of two loops; `order` is how the input is subscripted."""
    sizes = {"d0": rows, "d1": length}
    return OpFacts(
        0, "linalg.generic", ("parallel", "reduction"), (rows, length),
        (Access(tuple(order), tuple(sizes[d] for d in order), 32, False), Access(("d0",), (rows,), 32, True)),
        **kwargs,
    )  # fmt: skip


def product(m, n, k, bits=32) -> OpFacts:
    """A product of matrices."""
    return OpFacts(
        0, "linalg.generic", ("parallel", "parallel", "reduction"), (m, n, k),
        (Access(("d0", "d2"), (m, k), bits, False), Access(("d2", "d1"), (k, n), bits, False),
         Access(("d0", "d1"), (m, n), 32, True)),
    )  # fmt: skip


def lowering(op: OpFacts) -> str:
    """What one operation becomes."""
    (config,) = select.select(KernelFacts("kernel_0", (op,), (0,)), select.Machine())
    assert config.why and f'lowering = "{config.lowering}"' in config.text()
    return config.lowering


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (reduction(8, 64), "warps"),
        (reduction(None, None), "warps"),
        (reduction(8, 512), "blocks"),
        (reduction(4096, 512), "warps"),
        (reduction(4096, 8192), "blocks"),
        (reduction(8, 4), "points"),
        (reduction(8, 64, order=("d1", "d0")), "points"),
        (reduction(8, 64, attributes=frozenset({"tw.lowering"})), "points"),
        (product(64, 64, 64), "tiles"),
        (product(64, 64, 64, bits=16), "mma"),
        (product(None, 64, 64, bits=16), "mma"),
        (product(1, 4096, 64, bits=16), "warps"),
        (product(4096, 1, 64), "warps"),
    ],
)
def test_lowering(op, expected):
    assert lowering(op) == expected


def test_machine_knows_its_capability():
    assert select.Machine("sm_90a").capability == 90
    assert select.Machine("sm_120").capability == 120


def test_what_is_left_out_is_in_the_shared_table():
    """A pass that is renamed there must not come back here unseen."""
    from tilewright import stages
    from tilewright.targets.cuda.stages import LEFT_OUT, STAGES

    shared = {one.pipeline for stage in stages.STAGES for one in stage.passes}
    assert set(LEFT_OUT) <= shared
    assert not {one.pipeline for stage in STAGES for one in stage.passes} & set(LEFT_OUT)
    assert [stage.name for stage in STAGES] == list(stages.NAMES)
