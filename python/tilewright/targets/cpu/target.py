"""The host CPU as a target: its facts, its configs, its objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..facts import KernelFacts
from . import select


def _cache_bytes(level: int, default: int) -> int:
    """Read a data cache's size from the kernel; the default where it says nothing."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (index / "type").read_text().strip()
            if int((index / "level").read_text()) == level and kind in ("Data", "Unified"):
                return int((index / "size").read_text().strip().rstrip("K")) * 1024
        except (OSError, ValueError):
            continue
    return default


@dataclass
class CpuTarget:
    """The CPU that runs this process, unless told otherwise.

    Args:
        cpu: LLVM's name of the CPU; empty for the host.
        features: LLVM's feature string; empty for the host's.
    """

    cpu: str = ""
    features: str = ""
    name: str = field(default="cpu", init=False)

    def __post_init__(self) -> None:
        if not self.cpu:
            from ..._mlir._mlir_libs import _tilewright

            self.cpu, self.features = _tilewright.host_cpu()

    @cached_property
    def machine(self) -> select.Machine:
        """The facts that tile sizes follow from."""
        wide = "+avx512f" in self.features
        return select.Machine(
            vector_bits=512 if wide else 256,
            registers=32 if wide else 16,
            l1_bytes=_cache_bytes(1, 32768),
            l2_bytes=_cache_bytes(2, 1 << 20),
            l3_bytes=_cache_bytes(3, 0),
            group_bf16=2 if wide and self._has("avx512vl", "avx512bf16") else 1,
            group_i8=4 if wide and self._has("avx512vl", "avx512vnni") else 1,
        )

    def _has(self, *features: str) -> bool:
        return {f"+{feature}" for feature in features} <= set(self.features.split(","))

    def cache_bytes(self, level: int) -> int:
        """Return the size of a cache of this machine; 0 where it is not known."""
        return _cache_bytes(level, 0)

    def attribute(self) -> str:
        facts = self.machine
        return (
            f'#tw.target<kind = "cpu", cpu = "{self.cpu}", features = "{self.features}", '
            f"facts = {{vector_bits = {facts.vector_bits} : i64, registers = {facts.registers} : i64, "
            f"l1_bytes = {facts.l1_bytes} : i64, l2_bytes = {facts.l2_bytes} : i64, "
            f"group_bf16 = {facts.group_bf16} : i64, group_i8 = {facts.group_i8} : i64}}>"
        )

    def select(self, kernel: KernelFacts) -> list[select.Config]:
        return select.select(kernel, self.machine)

    def emit(self, module: Any, opt_level: int) -> bytes:
        from ..._mlir._mlir_libs import _tilewright

        return _tilewright.emit_object(module, self.cpu, self.features, opt_level)

    def emit_timed(self, module: Any, opt_level: int) -> tuple[bytes, dict[str, float]]:
        """As `emit`; return the object and the seconds of LLVM's steps."""
        from ..._mlir._mlir_libs import _tilewright

        return _tilewright.emit_object_timed(module, self.cpu, self.features, opt_level)

    def assembly(self, module: Any, opt_level: int) -> str:
        """Return the assembly of a module at stage `llvm`."""
        from ..._mlir._mlir_libs import _tilewright

        return _tilewright.emit_assembly(module, self.cpu, self.features, opt_level).decode()

    def key(self) -> dict[str, str]:
        return {"target": self.name, "cpu": self.cpu, "features": self.features, "facts": repr(self.machine)}


def target() -> CpuTarget:
    """Return the host CPU (the entry point of group `tilewright.targets`)."""
    return CpuTarget()
