"""First calls: what a process pays before its first result, cold (nothing compiled) and warm (from the disk cache).

Each sample is a fresh process (benchmarks/fresh.py). It loads the library, draws the inputs, and then measures from the
first mention of the program to its first result, reading and packing of weights included.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..workload import Call, Workload, register
from . import networks
from .models import Decode

ROOT = Path(__file__).resolve().parents[2]


class TwoOp(Workload):
    """`exp(a) + b` for float32 [8]: next to nothing to compile."""

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return rng.standard_normal(8, dtype=np.float32), rng.standard_normal(8, dtype=np.float32)

    def reference(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(a.astype(np.float64)) + b

    def tilewright(self, a: np.ndarray, b: np.ndarray) -> Call:
        import tilewright as tw

        function = tw.jit(lambda x, y: tw.exp(x) + y)
        return lambda: function(a, b)

    def torch_expression(self, torch: Any, a: Any, b: Any) -> Any:
        return torch.exp(a) + b

    def jax_expression(self, jax: Any, a: Any, b: Any) -> Any:
        return jax.numpy.exp(a) + b


class FirstCall(Workload):
    """The first result of another workload in a new process.

    Args:
        of: the workload.
        warm: whether what was compiled before is found on disk.
    """

    self_timed = True

    def __init__(self, name: str, of: Workload, warm: bool = False) -> None:
        super().__init__(name)
        self.of, self.warm = of, warm
        # A peer takes part if it can run the workload itself and compiles it, or finds it, too.
        self.torch_expression, self.jax_expression = of.torch_expression, of.jax_expression
        self.onnx_graph = of.onnx_graph
        self.excluded = frozenset(
            {"torch", "iree"} | ({"torch_compile", "onnxruntime", "openvino"} if warm else set())
        )

    # In a worker the inputs are of no use: each fresh process draws its own.
    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return ()

    def fresh(self, system: str, threads: int) -> Call:
        """Return the call that starts a process; a warm one gets a cache folder that an earlier one has filled."""
        # An installed package has its bytecode; with this variable every process would compile all sources of a tree.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        if self.warm:
            folder = tempfile.mkdtemp(prefix="tilewright-bench-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            environment |= {
                "TILEWRIGHT_CACHE_DIR": folder, "JAX_COMPILATION_CACHE_DIR": folder,
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            }  # fmt: skip
        else:
            # torch keeps a cache of its own under a temporary folder.
            environment |= {"TILEWRIGHT_CACHE": "0", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}

        def call() -> dict:
            command = [sys.executable, "-m", "benchmarks.fresh", self.name, system, str(threads)]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            return json.loads(done.stdout.splitlines()[-1])

        if self.warm:
            call()
        return call


class FirstTokens(Decode):
    """A language model's programs, prefill and decode; only their compilation counts, not the weights."""

    count = 1

    def compile_ms(self, tokens: np.ndarray) -> tuple[float, list[int]]:
        """Compile both programs; return the time, and the token that they make."""
        model = self.model()
        return model.compile_s * 1e3, list(model.generate(tokens.tolist(), max_tokens=1, ignore_eos=True))


register([
    FirstCall("compile_two_op", TwoOp("two_op")), FirstCall("compile_mlp", networks.Mlp("mlp")),
    FirstCall("compile_minilm", networks.MiniLm("minilm", 1, 128)),
    FirstCall("compile_gpt2", networks.Gpt2("gpt2", 128)), FirstCall("compile_smollm2", FirstTokens("smollm2")),
    FirstCall("warm_two_op", TwoOp("two_op"), warm=True),
    FirstCall("warm_minilm", networks.MiniLm("minilm", 1, 128), warm=True),
])  # fmt: skip
