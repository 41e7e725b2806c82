"""Runs a workload on several systems: one fresh process each, rounds interleaved, disturbed rounds dropped."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import load
from .workload import Workload

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Settings:
    """How to measure."""

    threads: int
    rounds: int = 5
    round_s: float = 0.5
    retries: int = 10  # extra rounds that may be spent on replacing disturbed ones
    settle_s: float = 0.25  # lets the pool of the previous system stop spinning
    pythons: dict[str, str] = field(default_factory=dict)  # system → interpreter that has it
    foreign_limit: float = load.LIMIT  # cores that others may use during a round
    verbose: bool = False


@dataclass
class Result:
    """What came out for one (workload, system)."""

    workload: str
    system: str
    threads: int
    version: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    compile_s: float | None = None
    load_ms: float | None = None  # of the library, where the workload is a first call
    max_error: float | None = None
    correct: bool = False
    roofline: float | None = None
    rounds: int = 0
    dropped_rounds: int = 0
    foreign: float | None = None  # cores that others used in the busiest round that was kept
    error: str | None = None
    not_offered: str | None = None  # why the system has no way to run this
    at: str = ""  # when it was measured
    parts_ms: dict[str, float] | None = None  # of a sweep: median of the rounds by part


class _Worker:
    """A running worker process and the clean rounds that it has delivered."""

    def __init__(self, workload: Workload, system: str, seed: int, settings: Settings) -> None:
        self.threads = workload.threads or settings.threads
        self.result = Result(workload.name, system, self.threads)
        self.rounds: list[list[float]] = []
        self.disturbed: list[tuple[float, list[float]]] = []
        self.parts: list[dict[str, float]] = []
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "TILEWRIGHT_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(self.threads)
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])
        )
        self.process = subprocess.Popen(
            [settings.pythons.get(system, sys.executable), "-m", "benchmarks.worker",
             workload.name, system, str(seed), str(self.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
            stderr=None if settings.verbose else subprocess.DEVNULL,
        )  # fmt: skip
        facts = self._read()
        for name, value in facts.items():
            setattr(self.result, name, value)

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the worker ended with status {self.process.wait()}"}
        return json.loads(line)

    def round(self, settings: Settings) -> None:
        """Time one round; keep it if the machine was quiet."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"round": settings.round_s}) + "\n")
        self.process.stdin.flush()
        answer = self._read()
        self.result.load_ms = answer.get("load_ms", self.result.load_ms)
        if "error" in answer:
            self.result.error = answer["error"]
        # A core that the workload leaves idle may be used by others.
        elif answer["foreign"] <= settings.foreign_limit + max(0, settings.threads - self.threads):
            self.rounds.append(answer["samples_ms"])
            self.result.foreign = max(self.result.foreign or 0.0, answer["foreign"])
            self.parts += [answer["parts_ms"]] if answer.get("parts_ms") else []
        else:
            self.result.dropped_rounds += 1
            self.disturbed.append((answer["foreign"], answer["samples_ms"]))

    def finish(self, ceiling_ms: float | None) -> Result:
        """Stop the process and fold the clean rounds into the result."""
        self.process.communicate()
        result = self.result
        result.at = time.strftime("%Y-%m-%dT%H:%M:%S")
        if not self.rounds and self.disturbed and result.error is None:
            quietest = min(foreign for foreign, _ in self.disturbed)
            result.error = f"every round was disturbed by foreign load (at least {quietest:.2f} cores)"
        if self.rounds:
            samples = sorted(sample for one in self.rounds for sample in one)
            result.rounds = len(self.rounds)
            # The median of the rounds' medians: one round in a slow minute does not move it.
            result.p50_ms = statistics.median(statistics.median(one) for one in self.rounds)
            result.p99_ms = samples[min(len(samples) - 1, int(0.99 * len(samples)))]
            if self.parts:
                result.parts_ms = {n: statistics.median(p[n] for p in self.parts) for n in self.parts[0]}
            if ceiling_ms is not None:
                result.roofline = ceiling_ms / result.p50_ms
        return result


def run(workload: Workload, systems: list[str], settings: Settings, ceiling_ms: float | None) -> list[Result]:
    """Measure `workload` on `systems` with the same inputs; `ceiling_ms` is the time that the roofline allows."""
    seed = int.from_bytes(os.urandom(4), "little")
    workers = [_Worker(workload, system, seed, settings) for system in systems]
    live = [w for w in workers if w.result.error is None and w.result.not_offered is None]
    spent = 0
    while any(len(w.rounds) < settings.rounds for w in live) and spent < settings.rounds + settings.retries:
        for worker in live:
            if worker.result.error is None and len(worker.rounds) < settings.rounds:
                time.sleep(settings.settle_s)
                worker.round(settings)
        spent += 1
    return [worker.finish(ceiling_ms) for worker in workers]
