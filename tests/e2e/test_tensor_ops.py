"""Reductions, shapes, contractions and neural networks × dtype × shape family × target, against float64."""

from __future__ import annotations

import pytest
from cases_tensor import CASES
from op_matrix import parameters, run_dynamic, run_static


@pytest.mark.parametrize(("case", "dtype"), parameters(CASES))
def test_dynamic_sizes(case, dtype):
    run_dynamic(case, dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_static_sizes(case):
    # Dtypes are the dynamic test's business; what static shapes change does not depend on them.
    families = case.families()
    for sizes in families[:2] + families[3:6:2]:
        run_static(case, case.dtypes[0], sizes)
