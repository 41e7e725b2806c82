"""Loading modules and launching kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx import syntax as ast
from ptx.asynchronous import Asynchronous
from ptx.barriers import Barriers
from ptx.declarations import encode
from ptx.errors import PtxError, PtxFault
from ptx.machine import Machine, Settings
from ptx.mbarrier import Mbarriers
from ptx.memory import Memory, Segment
from ptx.parser import parse
from ptx.program import Program
from ptx.races import Races
from ptx.scheduler import Scheduler
from ptx.wgmma import Wgmma

LANES = 4096  # about so many lanes run as one vector
Size = int | Sequence[int]


def triple(size: Size) -> tuple[int, int, int]:
    """Return a size of a grid or block with three components."""
    parts = [size] if isinstance(size, int) else [int(x) for x in size]
    if len(parts) > 3 or any(x < 1 for x in parts):
        raise PtxError(f"{size} is no size of a grid or a block")
    x, y, z = (*parts, 1, 1, 1)[:3]
    return x, y, z


class Module:
    """A parsed PTX module; `launch` runs its kernels."""

    def __init__(self, text: str) -> None:
        self.syntax = parse(text)
        self._programs: dict[str, Program] = {}

    @property
    def kernels(self) -> list[str]:
        """Names of the entries."""
        return [name for name, function in self.syntax.functions.items() if function.entry]

    def program(self, kernel: str) -> Program:
        """Return a kernel made ready to run."""
        if kernel not in self._programs:
            self._programs[kernel] = Program(self.syntax, kernel)
        return self._programs[kernel]

    def launch(
        self,
        kernel: str,
        grid: Size,
        block: Size,
        args: Sequence[Any],
        *,
        memory: Memory,
        shared_bytes: int = 0,
        adversarial: int | None = None,
        strict: bool = True,
        races: bool | None = None,
        cluster: Size | None = None,
        max_steps: int = 50_000_000,
    ) -> int:
        """Run a kernel to its end and return how many instructions its lanes executed.

        Args:
            kernel: name of an entry.
            grid, block: sizes, up to three components each, x first.
            args: one per parameter: pointers (ints), ints, floats, NumPy scalars, or bytes for structures.
            memory: the global memory that pointers point into.
            shared_bytes: dynamic shared memory per block.
            adversarial: a seed: blocks and warps run in random order with random preemption, and so do atomics and
                asynchronous copies. None: the fastest order.
            strict: reads of registers and shared memory that nothing has written are errors.
            races: look for races on shared memory; by default in the adversarial mode.
            cluster: blocks per cluster; by default what the kernel says.
            max_steps: an error after so many instructions (of whole vectors).

        Raises:
            PtxFault: the program does what it must not; the subclass says what. The message ends with the seed.
        """
        program = self.program(kernel)
        sizes = triple(block)
        settings = Settings(
            triple(grid), sizes, shared_bytes, adversarial, strict,
            adversarial is not None if races is None else races, max_steps, self._cluster(program, cluster),
        )  # fmt: skip
        check_block(program.kernel, sizes)
        params = pack_arguments(program, args)
        rng = np.random.default_rng(adversarial)
        executed = 0
        with np.errstate(all="ignore"):
            for blocks in cohorts(settings, rng):
                machine = Machine(program, memory, settings, blocks, params, rng)
                machine.barriers = Barriers(machine)
                machine.mbarriers = Mbarriers(machine)
                machine.wgmma = Wgmma(machine)
                machine.asynchronous = Asynchronous(machine)
                machine.races = Races(machine) if settings.races and machine.shared_size else None
                try:
                    Scheduler(machine).run()
                except PtxFault as fault:
                    if adversarial is not None:
                        raise type(fault)(f"{fault}\n  adversarial={adversarial}") from None
                    raise
                executed += machine.executed
        return executed

    def _cluster(self, program: Program, cluster: Size | None) -> tuple[int, int, int]:
        limits = program.kernel.limits
        if cluster is None:
            return triple(limits.get("reqnctapercluster", (1,)) or (1,))
        return triple(cluster)


def check_block(kernel: ast.Function, block: tuple[int, int, int]) -> None:
    """Hold the size of a block against what the kernel was compiled for."""
    threads = int(np.prod(block))
    limits = kernel.limits
    if threads > 1024:
        raise PtxError(f"{kernel.name}: {threads} threads in a block, at most 1024 are possible")
    if "reqntid" in limits and triple(limits["reqntid"]) != block:
        raise PtxError(f"{kernel.name} is compiled for blocks of {limits['reqntid']} threads, not {block}")
    if "maxntid" in limits and threads > int(np.prod(limits["maxntid"])):
        raise PtxError(f"{kernel.name} is compiled for at most {limits['maxntid']} threads, not {threads}")


def pack_arguments(program: Program, args: Sequence[Any]) -> Segment:
    """Lay out the arguments as the parameters say."""
    params = program.kernel.params
    if len(args) != len(params):
        raise PtxError(f"{program.kernel.name} takes {len(params)} arguments, not {len(args)}")
    segment = Segment(max(program.param_size, 16))
    for number, (variable, value) in enumerate(zip(params, args)):
        if isinstance(value, bytes | bytearray | np.ndarray):
            content = bytes(value) if not isinstance(value, np.ndarray) else value.tobytes()
        elif isinstance(value, np.generic):
            content = value.tobytes()
        elif isinstance(value, float) and variable.type.kind == "b":
            content = np.dtype(f"f{variable.type.bytes}").type(value).tobytes()
        elif isinstance(value, int) and variable.type.kind == "f":
            content = encode(float(value), variable.type)
        else:
            content = encode(value, variable.type)
        if len(content) != variable.size:
            raise PtxError(f"argument {number} has {len(content)} bytes, {variable.name} has {variable.size}")
        at = program.offset[variable]
        segment.bytes[at : at + variable.size] = np.frombuffer(content, np.uint8)
    return segment


def cohorts(settings: Settings, rng: np.random.Generator) -> list[list[tuple[int, int, int]]]:
    """Split the grid into sets of blocks that run together: whole clusters, enough of them to fill the vectors."""
    cx, cy, cz = settings.cluster
    gx, gy, gz = settings.grid
    if gx % cx or gy % cy or gz % cz:
        raise PtxError(
            f"a grid of {settings.grid} blocks has no whole number of clusters of {settings.cluster}"
        )
    clusters = [
        [(x + i, y + j, z + k) for k in range(cz) for j in range(cy) for i in range(cx)]
        for z in range(0, gz, cz)
        for y in range(0, gy, cy)
        for x in range(0, gx, cx)
    ]
    width = (int(np.prod(settings.block)) + 31) // 32 * 32
    together = max(1, LANES // (width * cx * cy * cz))
    if settings.seed is not None:
        rng.shuffle(clusters)
        together = int(rng.integers(1, 5))
    found = []
    for start in range(0, len(clusters), together):
        found.append([block for cluster in clusters[start : start + together] for block in cluster])
    return found


def load(text: str) -> Module:
    """Parse PTX text.

    Raises:
        PtxSyntaxError: text that is not PTX.
        UnsupportedPtx: outside of the subset.
    """
    return Module(text)
