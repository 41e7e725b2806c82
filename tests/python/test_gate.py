"""The gate on instruction counts: no kernel of it may execute more than recorded (see benchmarks/gate.py)."""

import json

import pytest

from benchmarks import gate

RECORDED = json.loads(gate.COUNTS.read_text(encoding="utf-8"))


def test_every_kernel_is_recorded():
    assert set(RECORDED) == set(gate.kernels())


@pytest.mark.slow
@pytest.mark.skipif(gate.missing_tool() is not None, reason=f"needs {gate.missing_tool()}")
@pytest.mark.parametrize("name", list(RECORDED))
def test_instructions_do_not_grow(name):
    found, recorded = gate.count(gate.kernels()[name]()), RECORDED[name]
    assert found <= recorded * (1 + gate.TOLERANCE), (
        f"{name} executes {found} instructions, {recorded} are recorded; if that is meant: make bench-gate ARGS=--update"
    )


def test_comparison_names_what_left_the_tolerance():
    lines = gate.compare({"a": 101, "b": 110, "c": 90, "d": 5}, {"a": 100, "b": 100, "c": 100})
    assert [line.split(":")[0] for line in lines] == ["b", "c", "d"]
    assert "+10.0%" in lines[0] and "-10.0%" in lines[1] and "none recorded" in lines[2]


def test_a_fixed_target_ignores_the_host():
    assert gate.target().machine.vector_bits == 256 and "avx512" not in gate.target().features
