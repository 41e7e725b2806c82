"""The process in which one system runs one workload: prepares, checks the result, then times rounds on request.

Protocol: one JSON object per line. The parent sends {"round": seconds} and gets {"samples_ms", "foreign"}; the first
line that the worker writes is {"compile_s", "max_error", "correct", "version"}, {"error"} or {"not_offered"}. What
libraries print goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
import traceback
from typing import IO

import numpy as np

from . import load, systems
from .workload import Call, NotOffered, Workload
from .workloads import all_workloads

SHORT_S = 20e-6  # shorter calls are timed in batches: the clock costs 50 ns
MAX_SAMPLES = 5000


def _prepare(name: str, system: str, seed: int, threads: int) -> tuple[Call, dict]:
    workload = all_workloads()[name]
    inputs = workload.inputs(np.random.default_rng(seed))
    start = time.perf_counter()
    call = systems.prepare(workload, system, inputs, threads)
    result = call()
    compile_s = time.perf_counter() - start
    facts = {"compile_s": compile_s, "version": systems.version(system)}
    if workload.self_timed:
        return call, facts | {"max_error": result["max_error"], "correct": result["correct"]}
    error = workload.error(result, workload.reference(*inputs))
    tolerance = workload.tolerances.get(system, workload.tolerance)
    return call, facts | {"max_error": error, "correct": error is None or error <= tolerance}


def _self_timed_round(call: Call) -> dict:
    """Take one sample of a call that measures itself."""
    with load.Window(children=True) as window:
        result = call()
    return {"samples_ms": [result["ms"]], "foreign": window.foreign, "load_ms": result["load_ms"],
            "parts_ms": result.get("parts_ms")}  # fmt: skip


def _batch_size(call: Call) -> int:
    """Return how many calls make one sample; warms the call up on the way."""
    best = math.inf
    until = time.perf_counter() + 0.2
    while time.perf_counter() < until:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return max(1, math.ceil(SHORT_S / best))


def _round(call: Call, batch: int, seconds: float, neighbour: bool) -> dict:
    samples: list[float] = []
    clock = time.perf_counter
    with (
        load.Window(children=neighbour) as window,
        load.neighbour() if neighbour else contextlib.nullcontext(),
    ):
        until = clock() + seconds
        while len(samples) < 3 or (clock() < until and len(samples) < MAX_SAMPLES):
            start = clock()
            for _ in range(batch):
                call()
            samples.append((clock() - start) / batch * 1e3)
    return {"samples_ms": samples, "foreign": window.foreign}


def _serve(call: Call, out: IO[str], workload: Workload) -> None:
    batch = 1 if workload.self_timed else _batch_size(call)
    for line in sys.stdin:
        seconds = json.loads(line)["round"]
        answer = (
            _self_timed_round(call)
            if workload.self_timed
            else _round(call, batch, seconds, workload.neighbour)
        )
        print(json.dumps(answer), file=out, flush=True)


def main(name: str, system: str, seed: str, threads: str) -> None:
    """Run the worker; the arguments are those of the command line."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Pools sized by the number of processors see the one that is asked for.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    try:
        call, facts = _prepare(name, system, int(seed), int(threads))
    except NotOffered as reason:
        print(json.dumps({"not_offered": str(reason)}), file=out, flush=True)
        return
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}), file=out, flush=True)
        return
    print(json.dumps(facts), file=out, flush=True)
    _serve(call, out, all_workloads()[name])


if __name__ == "__main__":
    main(*sys.argv[1:])
