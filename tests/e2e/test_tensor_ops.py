"""Reductions, shapes, contractions and neural networks × dtype × shape family × target, against float64."""

from __future__ import annotations

import pytest
from cases_tensor import CASES
from op_matrix import parameters, run_dynamic, run_static


@pytest.mark.parametrize(("case", "dtype"), parameters(CASES))
def test_dynamic_sizes(case, dtype):
    run_dynamic(case, dtype)


@pytest.mark.parametrize(("case", "dtype"), parameters(CASES))
def test_static_sizes(case, dtype):
    families = case.families()
    for sizes in families if dtype == "float32" else families[1:2]:
        run_static(case, dtype, sizes)
