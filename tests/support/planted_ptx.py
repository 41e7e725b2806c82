"""Faults planted in generated PTX: whether each ends in an error of the interpreter or in a wrong result."""

from __future__ import annotations

import re

import numpy as np
import ptx
from cuda_device import DeviceProgram

#: Of copies that nobody waits for, some schedule must let the one land last that matters.
SCHEDULES = 8


def run(program: DeviceProgram, text: str, inputs: list[np.ndarray], seed: int) -> np.ndarray:
    """Run the program with other device code."""
    kept = program.module
    program.module, program.adversarial = ptx.load(text), seed
    try:
        return program(*inputs)[0].astype(np.float64)
    finally:
        program.module = kept


def is_caught(
    program: DeviceProgram, fault: tuple[str, str], inputs: list[np.ndarray], good: np.ndarray | None = None
) -> bool:
    """Whether the first place that matches, rewritten, shows in one of some schedules.

    Args:
        program: compiled, right.
        fault: a regular expression, and what is put in the place of what it matches.
        inputs: of the program.
        good: its result, if known.
    """
    text = program.text
    if good is None:
        good = run(program, text, inputs, 1)
    changed, count = re.subn(fault[0], fault[1], text, count=1)
    assert count == 1, f"{fault[0]} is not in the code"
    for seed in range(SCHEDULES):
        try:
            if not np.array_equal(run(program, changed, inputs, seed), good):
                return True
        except ptx.PtxFault:
            return True
    return False


def nth(pattern: str, number: int, replacement: str) -> tuple[str, str]:
    """A fault in another place than the first one that matches; the pattern has no groups."""
    return f"(?s)((?:.*?{pattern}){{{number - 1}}}.*?){pattern}", rf"\g<1>{replacement}"
