"""The libraries that are compared: how each gets the arrays of a case, and turns a function into what is timed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tilewright as tw
from tilewright import _runtime
from tilewright.runtime import devices


class Tilewright:
    """Ours; arrays are those of whichever library made them."""

    name = "tilewright"

    def __init__(self, target: str = "cuda") -> None:
        self.target = target

    def array(self, source: Any) -> Any:
        return source

    def compiled(self, functions: dict[str, Any], arrays: list[Any]) -> Callable[..., Any] | None:
        return tw.jit(functions["tilewright"], target=self.target)

    def stepper(self, functions: dict[str, Any]) -> Callable[[int], np.ndarray] | None:
        """Return what takes a token and gives logits."""
        return functions["tilewright"](target=self.target)

    def wait(self) -> None:
        _runtime.cuda_synchronize(0)

    def numpy(self, array: Any) -> np.ndarray:
        return devices.host_copy(array).astype(np.float64)


class Torch(Tilewright):
    name = "torch"

    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")
        if not self.torch.cuda.is_available():
            raise ImportError("torch has no GPU")

    def compiled(self, functions: dict[str, Any], arrays: list[Any]) -> Callable[..., Any] | None:
        return functions.get("torch") and (lambda *a: functions["torch"](self.torch, *a))

    def stepper(self, functions: dict[str, Any]) -> Callable[[int], np.ndarray] | None:
        return functions.get("torch") and functions["torch"](self.torch, isinstance(self, Inductor))

    def wait(self) -> None:
        self.torch.cuda.synchronize()

    def numpy(self, array: Any) -> np.ndarray:
        return array.detach().double().cpu().numpy()

    def random(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Standard normal numbers, made on the device."""
        kind = getattr(self.torch, dtype)
        if kind.is_floating_point:
            return self.torch.randn(shape, device="cuda", dtype=kind)
        return self.torch.randint(0, 256 if dtype == "uint8" else 100, shape, device="cuda", dtype=kind)


class Inductor(Torch):
    """torch.compile, which writes Triton kernels."""

    name = "torch.compile"

    def compiled(self, functions: dict[str, Any], arrays: list[Any]) -> Callable[..., Any] | None:
        if "torch" not in functions or functions.get("eager"):
            return None
        return self.torch.compile(lambda *a: functions["torch"](self.torch, *a))


class Triton(Torch):
    """Kernels written by hand."""

    name = "triton"

    def __init__(self) -> None:
        super().__init__()
        self.kernels = importlib.import_module("benchmarks.gpu.triton_kernels")

    def compiled(self, functions: dict[str, Any], arrays: list[Any]) -> Callable[..., Any] | None:
        return functions.get("triton") and (lambda *a: functions["triton"](self.kernels, *a))

    def stepper(self, functions: dict[str, Any]) -> Callable[[int], np.ndarray] | None:
        return None


class Cupy(Tilewright):
    name = "cupy"

    def __init__(self) -> None:
        self.cupy = importlib.import_module("cupy")

    def array(self, source: Any) -> Any:
        return self.cupy.from_dlpack(source)

    def compiled(self, functions: dict[str, Any], arrays: list[Any]) -> Callable[..., Any] | None:
        return functions.get("cupy") and (lambda *a: functions["cupy"](self.cupy, *a))

    def wait(self) -> None:
        self.cupy.cuda.Device(0).synchronize()

    def numpy(self, array: Any) -> np.ndarray:
        return self.cupy.asnumpy(array).astype(np.float64)

    def stepper(self, functions: dict[str, Any]) -> Callable[[int], np.ndarray] | None:
        return None

    def random(self, shape: tuple[int, ...], dtype: str) -> Any:
        if np.issubdtype(np.dtype(dtype), np.integer):
            return self.cupy.random.randint(0, 256 if dtype == "uint8" else 100, shape).astype(dtype)
        return self.cupy.random.standard_normal(shape, dtype=np.float32).astype(dtype)


class Jax(Tilewright):
    name = "jax"

    def __init__(self) -> None:
        import os

        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the others want memory, too
        self.jax = importlib.import_module("jax")
        if self.jax.default_backend() != "gpu":
            raise ImportError("jax has no GPU")

    def array(self, source: Any) -> Any:
        return self.jax.dlpack.from_dlpack(source)

    def compiled(self, functions: dict[str, Any], arrays: list[Any]) -> Callable[..., Any] | None:
        if "jax" not in functions:
            return None
        return self.jax.jit(lambda *a: functions["jax"](self.jax, *a))

    def stepper(self, functions: dict[str, Any]) -> Callable[[int], np.ndarray] | None:
        return None

    def wait(self) -> None:
        (self.jax.device_put(0.0) + 0).block_until_ready()

    def numpy(self, array: Any) -> np.ndarray:
        return np.asarray(array.astype("float32")).astype(np.float64)


class Host:
    """Makes arrays where no library does: numbers of NumPy, put on the device."""

    def random(self, shape: tuple[int, ...], dtype: str) -> Any:
        rng, kind = np.random.default_rng(0), tw.dtypes.by_name(dtype)
        if not kind.is_float:
            return tw.device_put(
                rng.integers(0, 256 if dtype == "uint8" else 100, shape, np.int32).astype(kind.numpy)
            )
        return tw.device_put(rng.standard_normal(shape, dtype=np.float32).astype(kind.numpy))


#: Of each column the class, ours first.
COLUMNS: tuple[type[Tilewright], ...] = (Tilewright, Torch, Inductor, Triton, Cupy, Jax)


def present(wanted: list[str] | None = None) -> Iterator[Tilewright]:
    """Yield the peers that this machine has, ours first.

    Args:
        wanted: names; None for all.
    """
    yield Tilewright()
    for cls in COLUMNS[1:]:
        if wanted is None or cls.name in wanted:
            try:
                yield cls()
            except (ImportError, RuntimeError) as problem:
                print(f"without {cls.name}: {str(problem).splitlines()[0]}")
