"""NVIDIA GPUs as a target: `cuda`, `cuda:0`, or an architecture without a device, `cuda:sm_80`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ... import errors
from ...stages import Stage
from ..facts import KernelFacts
from . import driver, select
from .stages import STAGES

#: Where no architecture is named: the oldest with bf16 tensor cores, which newer GPUs run as well.
BASE_ARCH = "sm_80"
#: Architectures that LLVM knows, and the lowest version of PTX that has them: a driver refuses newer ones than its own.
PTX_VERSIONS = {"sm_80": 70, "sm_86": 71, "sm_87": 74, "sm_89": 78, "sm_90": 78, "sm_90a": 80,
                "sm_100": 86, "sm_100a": 86, "sm_120": 87}  # fmt: skip


@dataclass
class CudaTarget:
    """A GPU architecture, and maybe a device of this machine.

    Args:
        variant: what follows `cuda:`: an architecture, the number of a device, or nothing.

    Raises:
        ArgumentError: it is neither.
    """

    variant: str = ""
    name: str = field(default="cuda", init=False)
    device: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.variant:
            self.name = f"cuda:{self.variant}"
        if re.fullmatch(r"\d+", self.variant):
            self.device = int(self.variant)
        elif self.variant and self.variant not in PTX_VERSIONS:
            errors.fail(
                errors.ArgumentError,
                f"target {self.name!r}: {self.variant!r} is neither a device nor an architecture",
                help=f"write cuda, cuda:0, or cuda: with one of {', '.join(PTX_VERSIONS)}.",
            )

    @property
    def arch(self) -> str:
        """The architecture: the named one, or that of the device; where there is none, the oldest."""
        if self.variant in PTX_VERSIONS:
            return self.variant
        return driver.architecture(self.device, PTX_VERSIONS) or BASE_ARCH

    @property
    def features(self) -> str:
        """LLVM's feature string: the version of PTX."""
        return f"+ptx{PTX_VERSIONS[self.arch]}"

    @property
    def machine(self) -> select.Machine:
        """The facts that configs follow from."""
        return select.Machine(self.arch)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The table of stages, with the rows of a GPU."""
        return STAGES

    def attribute(self) -> str:
        return (
            f'#tw.target<kind = "cuda", cpu = "{self.arch}", features = "{self.features}", '
            f"facts = {{capability = {self.machine.capability} : i64"
            f"{', float8_products = 1 : i64' if self.machine.has_warpgroups else ''}}}>"
        )

    def select(self, kernel: KernelFacts) -> list[select.Config]:
        return select.select(kernel, self.machine)

    def assembly(self, module: Any, opt_level: int) -> str:
        """Return the PTX of a module at stage `llvm`."""
        from ..._mlir._mlir_libs import _tilewright

        return _tilewright.emit_ptx(module, self.arch, self.features, opt_level)

    def emit(self, module: Any, opt_level: int) -> bytes:
        """Return the object of the host functions, which carries the PTX of the kernels as `tw_device_code`."""
        from ..._mlir._mlir_libs import _tilewright

        text = self.assembly(module, opt_level)
        host = _tilewright.clone_module(module)
        _tilewright.embed_device(host, text)
        # Host code only launches: that of any x86-64 will do, and one object serves every machine.
        return _tilewright.emit_object(host, "x86-64", "", min(opt_level, 1))

    def describe(self, module: Any) -> dict[str, Any]:
        """Return what the manifest says of the device code: its kernels as launches number them."""
        from . import manifest

        device = {"arch": self.arch, "code": "tw_device_code", "kernels": manifest.kernels(module)}
        return {"device": device if self.device is None else {**device, "ordinal": self.device}}

    def assemble(self, text: str) -> bytes | None:
        """Return machine code for PTX, if there is a GPU to run it and a `ptxas` to make it."""
        assembler = driver.assembler(self.device)
        return None if assembler is None else assembler.assemble(text, self.arch)

    def key(self) -> dict[str, str]:
        assembler = driver.assembler(self.device)
        return {
            "target": self.name,
            "cpu": self.arch,
            "features": self.features,
            "ptxas": "" if assembler is None else assembler.version,
        }


def target(variant: str = "") -> CudaTarget:
    """Return a GPU (the entry point of group `tilewright.targets`)."""
    return CudaTarget(variant)
