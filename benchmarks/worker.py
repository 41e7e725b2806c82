"""The process in which one system runs one workload: prepares, checks the result, then times rounds on request.

Protocol: one JSON object per line. The parent sends {"round": seconds} and gets {"samples_ms", "foreign"}; the first
line that the worker writes is {"compile_s", "max_error", "version"} or {"error"}. What libraries print goes to stderr.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from typing import IO

import numpy as np

from . import load, systems
from .workload import Call, all_workloads

SHORT_S = 20e-6  # shorter calls are timed in batches: the clock costs 50 ns
MAX_SAMPLES = 5000


def _prepare(name: str, system: str, seed: int, threads: int) -> tuple[Call, dict]:
    workload = all_workloads()[name]
    inputs = workload.inputs(np.random.default_rng(seed))
    start = time.perf_counter()
    call = systems.prepare(workload, system, inputs, threads)
    result = call()
    compile_s = time.perf_counter() - start
    error = workload.error(result, workload.reference(*inputs))
    return call, {
        "compile_s": compile_s,
        "max_error": error,
        "correct": bool(error <= workload.tolerance),
        "version": systems.version(system),
    }


def _batch_size(call: Call) -> int:
    """Return how many calls make one sample; warms the call up on the way."""
    best = math.inf
    until = time.perf_counter() + 0.2
    while time.perf_counter() < until:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return max(1, math.ceil(SHORT_S / best))


def _round(call: Call, batch: int, seconds: float) -> dict:
    samples: list[float] = []
    clock = time.perf_counter
    with load.Window() as window:
        until = clock() + seconds
        while len(samples) < 3 or (clock() < until and len(samples) < MAX_SAMPLES):
            start = clock()
            for _ in range(batch):
                call()
            samples.append((clock() - start) / batch * 1e3)
    return {"samples_ms": samples, "foreign": window.foreign}


def _serve(call: Call, out: IO[str]) -> None:
    batch = _batch_size(call)
    for line in sys.stdin:
        print(json.dumps(_round(call, batch, json.loads(line)["round"])), file=out, flush=True)


def main(name: str, system: str, seed: str, threads: str) -> None:
    """Run the worker; the arguments are those of the command line."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Pools sized by the number of processors see the one that is asked for.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    try:
        call, facts = _prepare(name, system, int(seed), int(threads))
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}), file=out, flush=True)
        return
    print(json.dumps(facts), file=out, flush=True)
    _serve(call, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
