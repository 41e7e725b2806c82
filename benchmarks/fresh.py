"""One process, one first call: `python -m benchmarks.fresh WORKLOAD SYSTEM THREADS` prints {"ms", "load_ms", …}."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

import numpy as np

from . import systems
from .workloads import all_workloads
from .workloads.first_calls import FirstCall, FirstTokens


def _load(system: str) -> None:
    """Import the library and make it ready to compile, as one small unrelated program would."""
    if system == "tilewright":
        from tilewright.mlir import mlir

        for module in ("api", "pipeline", "programs", "models.embedder", "models.language_model"):
            importlib.import_module(f"tilewright.{module}")
        mlir()
    elif system == "jax":
        import jax

        jax.devices()
    elif system == "torch_compile":
        import torch
        import torch._inductor.compile_fx
        import torch._inductor.config

        # Its compiler runs in processes that it starts at import.
        assert torch._inductor.config.compile_threads
    else:
        __import__(systems.MODULES[system])


def main(name: str, system: str, threads: str) -> None:
    """Run the first call; the arguments are those of the command line."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    workload = all_workloads()[name]
    assert isinstance(workload, FirstCall)
    of = workload.of
    inputs = of.inputs(np.random.default_rng())
    start = time.perf_counter()
    _load(system)
    load_ms = 1e3 * (time.perf_counter() - start)
    if isinstance(of, FirstTokens):
        ms, result = of.compile_ms(*inputs)
    else:
        start = time.perf_counter()
        result = systems.prepare(of, system, inputs, int(threads))()
        ms = 1e3 * (time.perf_counter() - start)
    error = of.error(result, of.reference(*inputs))
    correct = error is None or error <= of.tolerance
    facts = {"ms": ms, "max_error": error, "correct": correct, "load_ms": load_ms}
    print(json.dumps(facts), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
