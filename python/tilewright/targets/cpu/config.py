"""What `select` knows and what it decides: the facts of a CPU, and the config of one operation."""

from __future__ import annotations

from dataclasses import dataclass

#: Kernels with less work than this run on the calling thread.
SERIAL_WORK = 1 << 15


@dataclass(frozen=True)
class Machine:
    """The facts of ``#tw.target`` that tile sizes follow from."""

    vector_bits: int = 512
    registers: int = 32
    l1_bytes: int = 32768
    l2_bytes: int = 1 << 20
    #: Of the last cache; 0 where there is none.
    l3_bytes: int = 0
    #: Products that one instruction sums up in each 32-bit lane: of bfloat16, and of bytes.
    group_bf16: int = 1
    group_i8: int = 1


@dataclass(frozen=True)
class Config:
    """One ``#tw.config``; see the attribute's documentation for the fields.

    ``why`` and ``candidates`` go to ``explain()``: the reason, and what was weighed, the choice first, each with the
    model's estimate.
    """

    workgroup: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    lane: int = -1
    vector: int = 1
    unroll: int = 1
    lowering: str = "loops"
    pack: tuple[int, ...] = ()
    why: str = ""
    candidates: tuple[str, ...] = ()
    stream: bool = False
    overlap: bool = False

    def text(self) -> str:
        """The attribute as MLIR text."""

        def sizes(values: tuple[int, ...]) -> str:
            return "[" + ", ".join(map(str, values)) + "]"

        return (
            f"#tw.config<workgroup = {sizes(self.workgroup)}, tile = {sizes(self.tile)}, lane = {self.lane}, "
            f'vector = {self.vector}, unroll = {self.unroll}, lowering = "{self.lowering}">'
        )

    def attributes(self) -> dict[str, str]:
        """What an operation gets: its config; as ``tw.pack``, the numbers of the operands that each task packs; as
        ``tw.stream``, that its results go past the cache; as ``tw.overlap``, that rows of its kernel overlap."""
        pack = {"tw.pack": f"array<i64: {', '.join(map(str, self.pack))}>"} if self.pack else {}
        stream = {"tw.stream": "unit"} if self.stream else {}
        overlap = {"tw.overlap": "unit"} if self.overlap else {}
        return {"tw.config": self.text(), **pack, **stream, **overlap}
