"""The state of the blocks that run together: registers, memory spaces, program counters.

All threads of those blocks are the *lanes* of NumPy arrays: lane = (block · warps + warp) · 32 + lane in the warp.  An
instruction is executed for a *selection* of lanes, a slice where possible, else an array of lane numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ptx import syntax as ast
from ptx.errors import BadOperand, InFlight, MissingFence, OutOfBounds, PtxFault, TooEarly, Uninitialised
from ptx.memory import GLOBAL_BASE, POISON, WINDOW_SHIFT, WINDOWS, Memory, Problem, Segment, check_alignment
from ptx.types import STORAGE, Array

if TYPE_CHECKING:
    from ptx.asynchronous import Asynchronous
    from ptx.barriers import Barriers
    from ptx.mbarrier import Mbarriers
    from ptx.program import Program
    from ptx.races import Races
    from ptx.wgmma import Wgmma

Selection = slice | np.ndarray
RUNNING, WAITING, EXITED = 0, 1, 2
# State of a byte of shared memory: bit 0 says that it has a value, bit 1 that asynchronous operations see it, too.
FRESH, WRITTEN, VISIBLE, FLYING = 0, 1, 3, 4
CLUSTER_SHIFT = 24  # a shared::cluster address: rank + 1 above this bit, 0 for the own block


@dataclass
class Settings:
    """How a launch runs; see `Module.launch`."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    seed: int | None
    strict: bool
    races: bool
    max_steps: int
    cluster: tuple[int, int, int] = (1, 1, 1)


@dataclass
class Machine:
    """Registers, memories and counters of a cohort of blocks."""

    program: Program
    memory: Memory
    settings: Settings
    blocks: list[tuple[int, int, int]]
    params: Segment
    rng: np.random.Generator
    barriers: Barriers = field(init=False)
    mbarriers: Mbarriers = field(init=False)
    wgmma: Wgmma = field(init=False)
    asynchronous: Asynchronous = field(init=False)
    races: Races | None = None

    def __post_init__(self) -> None:
        threads = int(np.prod(self.settings.block))
        self.threads = threads
        self.warps = -(-threads // 32)
        self.width = self.warps * 32  # lanes of a block
        count = self.width * len(self.blocks)
        self.count = count
        self.lanes = np.arange(count)
        self.warp_of = self.lanes // 32
        self.block_of = self.lanes // self.width
        self.status = np.where(self.lanes % self.width < threads, RUNNING, EXITED).astype(np.int8)
        self.pc = np.zeros(count, np.int64)
        self.parked = np.full(count, -1, np.int64)  # program counter at which a lane waits for its warp
        self.carry = np.zeros(count, bool)
        self.members = np.zeros(count, np.uint32)  # with which lanes of its warp
        self.waits_at = np.full(count, -1, np.int64)  # instruction that made a lane wait
        self.live = int((self.status == RUNNING).sum())
        # Lanes that have not waited for the kernel before, in a kernel that does so.
        self.early = np.full(count, self.program.waits_for_kernel)
        self.steps = 0
        self.executed = 0
        self._registers()
        self._special()
        program = self.program
        self.shared_size = program.shared_size + self.settings.shared_bytes
        self.shared_stride = (self.shared_size + 1023) // 1024 * 1024
        self.shared = Segment(self.shared_stride * len(self.blocks))
        self.shared_state = Segment(self.shared_stride * len(self.blocks), FRESH)
        self.shared_regions = program.shared_regions(self.settings.shared_bytes)
        self.local_stride = max(16, (program.local_size + 15) // 16 * 16)
        self.local = Segment(self.local_stride * count)
        self.returns = {name: np.zeros(count, np.int64) for name in program.entries}
        self.globals = program.place_variables(self.memory)

    def _registers(self) -> None:
        """Make one row of lanes per register, filled with poison."""
        registers = self.program.registers
        self.r: list[Array] = [np.empty(0)] * (1 + max((register.index for register in registers), default=0))
        for bits, dtype in STORAGE.items():
            rows = [register.index for register in registers if register.type.bits == bits]
            fill = 0 if bits == 1 else int.from_bytes(bytes([POISON] * (bits // 8)), "little")
            table = np.full((len(rows), self.count), fill, dtype)
            for row, index in enumerate(rows):
                self.r[index] = table[row]
        self.valid = {index: np.zeros(self.count, bool) for index in self.program.tracked}

    def _special(self) -> None:
        """Fill the special registers that differ between lanes or blocks."""
        in_block = self.lanes % self.width
        bx, by, bz = self.settings.block
        lane = (self.lanes % 32).astype(np.uint32)
        one = np.uint64(1)
        bit = one << lane.astype(np.uint64)
        coordinates = np.array(self.blocks, np.uint32)[self.block_of]
        values: dict[str, Array | int] = {
            "%laneid": lane, "%warpid": in_block // 32, "%nwarpid": self.warps, "%smid": 0, "%nsmid": 1,
            "%tid.x": in_block % bx, "%tid.y": in_block // bx % by, "%tid.z": in_block // (bx * by) % max(bz, 1),
            "%lanemask_eq": bit, "%lanemask_lt": bit - one, "%lanemask_le": bit * np.uint64(2) - one,
            "%lanemask_ge": ~(bit - one), "%lanemask_gt": ~(bit * np.uint64(2) - one), "%gridid": 0,
            "%dynamic_smem_size": self.settings.shared_bytes,
            "%total_smem_size": self.program.shared_size + self.settings.shared_bytes,
        }  # fmt: skip
        cluster = self.settings.cluster
        sizes = [self.settings.grid[i] // cluster[i] for i in range(3)]
        inside = [coordinates[:, i] % cluster[i] for i in range(3)]
        for i, axis in enumerate("xyz"):
            values[f"%ntid.{axis}"] = self.settings.block[i]
            values[f"%nctaid.{axis}"] = self.settings.grid[i]
            values[f"%ctaid.{axis}"] = coordinates[:, i]
            values[f"%cluster_ctaid.{axis}"] = inside[i]
            values[f"%cluster_nctaid.{axis}"] = cluster[i]
            values[f"%clusterid.{axis}"] = coordinates[:, i] // cluster[i]
            values[f"%nclusterid.{axis}"] = sizes[i]
        values["%cluster_ctarank"] = inside[0] + cluster[0] * (inside[1] + cluster[1] * inside[2])
        values["%cluster_nctarank"] = int(np.prod(cluster))
        values["%is_explicit_cluster"] = int(np.prod(cluster) > 1)
        full = np.uint64(0xFFFFFFFF)
        self.special = {
            name: (
                np.broadcast_to(np.asarray(value).astype(np.uint64) & full, (self.count,)).astype(np.uint32)
            )
            for name, value in values.items()
        }

    # ---- lanes ---------------------------------------------------------------------------------------------------
    def whole(self, s: Selection) -> bool:
        """Whether a selection is every lane that has not exited."""
        return self.lanes[s].size == self.live

    def narrow(self, s: Selection, mask: Array) -> np.ndarray:
        """Return the lanes of a selection for which a mask holds."""
        return self.lanes[s][mask]

    def name_of(self, lane: int) -> str:
        """Name a lane by its block and thread."""
        block = self.blocks[lane // self.width]
        x, y, z = (int(self.special[f"%tid.{axis}"][lane]) for axis in "xyz")
        return f"block ({block[0]}, {block[1]}, {block[2]}) thread ({x}, {y}, {z})"

    def fail(
        self, kind: type[PtxFault], ins: ast.Instruction, s: Selection, position: int, text: str
    ) -> NoReturn:
        """Raise a fault of the lane at a position of a selection."""
        lane = int(self.lanes[s][position])
        raise kind(f"line {ins.line}: {text}\n  {ins.text}\n  {self.name_of(lane)}")

    def exit(self, lanes: np.ndarray) -> None:
        """End threads; those that wait for them are looked at again."""
        self.status[lanes] = EXITED
        self.live -= lanes.size
        self.unpark(np.unique(self.warp_of[lanes]))
        self.barriers.exited(lanes)

    def wait(self, lanes: np.ndarray, pc: int) -> None:
        """Let lanes wait at an instruction until something sets them running."""
        self.status[lanes] = WAITING
        self.waits_at[lanes] = pc

    def unpark(self, warps: np.ndarray) -> None:
        """Let lanes that wait for their warp try again."""
        again = np.isin(self.warp_of, warps) & (self.parked >= 0)
        self.status[again] = RUNNING
        self.parked[again] = -1

    # ---- memory --------------------------------------------------------------------------------------------------
    def place(self, ins: ast.Instruction, s: Selection, space: str, address: Array, size: int, write: bool):
        """Check an access of `size` bytes per lane and return its segment and byte offsets in it.

        `address` (uint64, one per lane) belongs to one space; generic addresses are split up before.
        """
        try:
            check_alignment(address, size)
            if space in ("global", "const"):
                if space == "global" and self.program.waits_for_kernel:
                    self.check_late(ins, s)
                self.memory.regions.check(address, size, write)
                return self.memory.segment, (address - np.uint64(GLOBAL_BASE)).astype(np.int64)
            if space == "shared":
                return self.shared, self.shared_index(ins, s, address, size, write)
            if space == "local":
                self.program.local_regions.check(address, size, write)
                return self.local, address.astype(np.int64) + self.lanes[s] * self.local_stride
            self.program.param_regions.check(address, size, write)
            return self.params, address.astype(np.int64)
        except Problem as problem:
            self.fail(problem.kind, ins, s, problem.position, f"{space} memory: {problem.text}")

    def waited(self, s: Selection) -> None:
        """Let lanes touch global memory: the kernel before has ended."""
        self.early[s] = False

    def check_late(self, ins: ast.Instruction, s: Selection) -> None:
        """Raise unless all lanes have waited for the kernel before."""
        early = self.early[s]
        if early.any():
            text = "global memory touched before griddepcontrol.wait"
            self.fail(TooEarly, ins, s, int(np.argmax(early)), text)

    def shared_index(
        self, ins: ast.Instruction, s: Selection, address: Array, size: int, write: bool
    ) -> Array:
        """Return where bytes of shared memory lie in the segment of all blocks; raises `Problem`."""
        rank = (address >> np.uint64(CLUSTER_SHIFT)).astype(np.int64)
        block = self.block_of[s]
        if rank.any():
            cluster = int(np.prod(self.settings.cluster))
            if (rank > cluster).any():
                raise Problem(
                    BadOperand, int(np.argmax(rank > cluster)), "no shared memory of any block of the cluster"
                )
            block = np.where(rank > 0, block // cluster * cluster + rank - 1, block)
            self.check_alive(block)
            address = address & np.uint64((1 << CLUSTER_SHIFT) - 1)
        self.shared_regions.check(address, size, write)
        return address.astype(np.int64) + block * self.shared_stride

    def check_alive(self, blocks: Array) -> None:
        """Raise `Problem` where shared memory is that of a block whose threads have all exited."""
        ended = (self.status.reshape(-1, self.width) == EXITED).all(1)[blocks]
        if ended.any():
            raise Problem(
                OutOfBounds, int(np.argmax(ended)), "the block of the cluster whose it is has ended"
            )

    def split(self, address: Array, space: str) -> list[tuple[str, np.ndarray | None, Array]]:
        """Resolve generic addresses: (space, positions or None for all, addresses in that space)."""
        if space != "generic":
            return [(space, None, address)]
        window = address >> np.uint64(WINDOW_SHIFT)
        low = address & np.uint64((1 << WINDOW_SHIFT) - 1)
        found = []
        for name, number in (("global", 0), *WINDOWS.items()):
            inside = window == number
            if inside.all():
                return [(name, None, low)]
            if inside.any():
                found.append((name, np.flatnonzero(inside), low[inside]))
        return found

    def load(
        self, ins: ast.Instruction, s: Selection, space: str, address: Array, width: int, count: int
    ) -> list[Array]:
        """Load `count` words of `width` bytes per lane, as unsigned integers."""
        result: list[Array] = []
        for name, positions, part in self.split(address, space):
            lanes = s if positions is None else self.lanes[s][positions]
            segment, index = self.place(ins, lanes, name, part, width * count, False)
            if name == "shared":
                self.touch_shared(ins, lanes, index, width * count, False)
            words = segment.gather(index, width, count)
            if positions is None:
                return words
            if not result:
                result = [np.empty(address.shape, words[0].dtype) for _ in range(count)]
            for whole, word in zip(result, words):
                whole[positions] = word
        return result

    def store(
        self, ins: ast.Instruction, s: Selection, space: str, address: Array, width: int, values: list[Array]
    ) -> None:
        """Store words per lane."""
        for name, positions, part in self.split(address, space):
            lanes = s if positions is None else self.lanes[s][positions]
            segment, index = self.place(ins, lanes, name, part, width * len(values), True)
            if name == "shared":
                self.touch_shared(ins, lanes, index, width * len(values), True)
            words = (
                values
                if positions is None
                else [np.broadcast_to(v, address.shape)[positions] for v in values]
            )
            segment.scatter(index, width, words)

    def touch_shared(self, ins: ast.Instruction, s: Selection, index: Array, size: int, write: bool) -> None:
        """Keep the books of shared memory: what was written, what an asynchronous copy owns, who may race."""
        width = min(size, 8)
        words = size // width
        state = self.shared_state.gather(index, width, words)
        written = np.array([WRITTEN] * width, np.uint8).view(state[0].dtype)[0]
        for word in state:
            good = word & written == written
            if not good.all():
                self._unwritten(ins, s, word, good, width, write)
        if self.races is not None:
            self.races.access(ins, s, index, size, write)
        if write:
            self.shared_state.scatter(index, width, [written] * words)

    def check_proxy(self, ins: ast.Instruction, s: Selection, index: Array, size: int) -> None:
        """Raise unless asynchronous operations see the bytes: a `fence.proxy.async` came after they were written."""
        for word in self.shared_state.gather(index, 4, size // 4):
            hidden = word & np.uint32(0x03030303) != np.uint32(0x03030303)
            if hidden.any() and self.settings.strict:
                text = "reads shared memory that was written since the last fence.proxy.async of the block"
                self.fail(MissingFence, ins, s, int(np.argmax(hidden)), text)

    def fence_proxy(self, s: Selection) -> None:
        """Let asynchronous operations see all that was written in the blocks of a selection."""
        table = self.shared_state.bytes[: len(self.blocks) * self.shared_stride].reshape(len(self.blocks), -1)
        blocks = np.unique(self.block_of[s])
        table[blocks] |= (table[blocks] & np.uint8(WRITTEN)) << np.uint8(1)

    def _unwritten(
        self, ins: ast.Instruction, s: Selection, word: Array, good: Array, width: int, write: bool
    ) -> None:
        """Say what is wrong with bytes of shared memory that do not all hold a value, if anything is."""
        odd = np.flatnonzero(~good)
        bytes_ = np.ascontiguousarray(word[odd]).view(np.uint8).reshape(odd.size, width)
        flying = (bytes_ == FLYING).any(1)
        if flying.any():
            verb = "overwrites" if write else "reads"
            self.fail(
                InFlight,
                ins,
                s,
                int(odd[np.argmax(flying)]),
                f"{verb} shared memory that a copy in flight writes",
            )
        if not write and self.settings.strict:
            self.fail(Uninitialised, ins, s, int(odd[0]), "reads shared memory that nothing has written")
