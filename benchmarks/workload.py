"""What a workload is: fresh inputs, a float64 reference, and one way to run it per system.

A family of workloads is a subclass; a size is an instance. A system takes part in a workload when the family states how
to run it there: Tilewright through `tilewright`, peers through the `*_expression` methods that `systems.py` wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

Call = Callable[[], Any]


class NotOffered(Exception):
    """A system has no way to run a workload yet; the row says so."""


class Workload:
    """One named measurement.

    Attributes:
        name: the name on the command line, such as "matmul_f32_1024".
        tolerance: largest accepted max|out − ref| / max|ref| against the float64 reference.
        tolerances: the same for systems that cannot run the same numbers, such as weights in another format.
        roof: the ceiling that bounds it: "f32", "bf16" or "int8" (multiply-adds), "dram" or "l3" (bytes), or "none".
        flops, bytes: the work of one call; bytes count each input read once and each output written once.
        threads: how many threads it is defined for; None for what the command line says.
        weights_from: inputs from this position on are weights, which a compiler may treat as constant.
        self_timed: `fresh(system, threads)` makes the call; it returns {"ms", "load_ms", "max_error", "correct"}.
        neighbour: another process computes on the same processors while the calls are timed.
        excluded: systems that do not take part although there is a way to run it there.
    """

    tolerance = 1e-5
    tolerances: Mapping[str, float] = {}
    roof = "none"
    flops = 0.0
    bytes = 0.0
    threads: int | None = None
    weights_from: int | None = None
    self_timed = False
    neighbour = False
    excluded: frozenset[str] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Draw the inputs of one run."""
        raise NotImplementedError

    def reference(self, *inputs: np.ndarray) -> np.ndarray | None:
        """Return the expected output in float64, or None where there is none to compare with."""
        raise NotImplementedError

    def tilewright(self, *inputs: np.ndarray) -> Call:
        """Return the call that runs this workload on Tilewright."""
        raise NotImplementedError

    def fresh(self, system: str, threads: int) -> Callable[[], dict]:
        """Return the call of a self-timed workload."""
        raise NotImplementedError

    # A family overrides those of the peers that can run it; see systems.py for what is passed.
    numpy_expression: Callable[..., Any] | None = None
    torch_expression: Callable[..., Any] | None = None
    torch_call: Callable[..., Any] | None = None  # (torch, *inputs) → call, for models
    jax_expression: Callable[..., Any] | None = None
    numba_kernel: Callable[..., Any] | None = None
    onnx_graph: Callable[..., Any] | None = None
    onnxruntime_call: Callable[..., Any] | None = None  # (threads, *inputs) → call, for models
    llama_cpp: Callable[..., Any] | None = None
    llama_cpp_q4_0: Callable[..., Any] | None = None

    def error(self, result: Any, reference: np.ndarray | None) -> float | None:
        """Return max|result − reference| / max|reference|.

        Returns:
            Infinity for a wrong shape or a NaN; None where there is nothing to compare.
        """
        if reference is None:
            return None
        found = as_numpy(result)
        if found.shape != reference.shape:
            return float("inf")
        if found.size == 0:
            return 0.0
        scale = float(np.max(np.abs(reference))) or 1.0
        worst = float(np.max(np.abs(found.astype(np.float64) - reference))) / scale
        return worst if np.isfinite(worst) else float("inf")


def bfloat16() -> np.dtype:
    """Return NumPy's bfloat16, from ml_dtypes."""
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def as_numpy(value: Any) -> np.ndarray:
    """Return `value` (an array of any system, or a sequence holding one) as a NumPy array."""
    if isinstance(value, (list, tuple)):
        value = value[0]
    if hasattr(value, "detach"):
        value = value.detach().float() if str(value.dtype) == "torch.bfloat16" else value.detach()
    return np.asarray(value)


REGISTRY: dict[str, Workload] = {}


def register(workloads: Iterable[Workload]) -> None:
    """Add workloads to the suite; a name stands for one workload."""
    for workload in workloads:
        if workload.name in REGISTRY:
            raise ValueError(f"benchmark {workload.name!r} is registered twice")
        REGISTRY[workload.name] = workload
