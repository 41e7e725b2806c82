"""Imaginary CuPy and torch on the fake GPU: as much of them as programs for a GPU ask for.

Both have a pool that hands the same memory out again, and a current stream.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tilewright import _runtime
from tilewright.runtime import devices, interop


class Pool:
    """Memory that comes back is given out again, to whoever wants as much."""

    def __init__(self) -> None:
        self.free: dict[int, list[Any]] = {}
        self.given = 0
        self.stream = 0
        self.limit: int | None = None

    def take(self, size: int) -> Any:
        if self.limit is not None and size > self.limit:
            raise MemoryError(f"pool: out of memory: {size} bytes")
        self.given += 1
        kept = self.free.setdefault(size, [])
        return kept.pop() if kept else _runtime.DeviceMemory(0, max(size, 1), self.stream)


class Block:
    """A piece of a pool's memory; gives it back when nobody has it any more."""

    def __init__(self, pool: Pool, size: int) -> None:
        self.pool, self.size, self.memory = pool, size, None
        self.memory = pool.take(size)
        self.ptr = self.memory.pointer

    def __del__(self) -> None:
        if self.memory is not None:
            self.pool.free[self.size].append(self.memory)


class _Array:
    """What arrays of both libraries have."""

    def __init__(self, block: Block, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.block, self.shape, self.np_dtype = block, tuple(shape), np.dtype(dtype)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.np_dtype.str,
            "data": (self.block.ptr, False),
            "strides": None,
            "stream": self.block.pool.stream or 1,
            "version": 3,
        }

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("the other protocol is there, too")

    def numpy(self) -> np.ndarray:
        raw = np.empty(self.block.size, np.uint8)
        _runtime.cuda_copy_out(0, raw, self.block.ptr, self.block.pool.stream)
        return raw.view(self.np_dtype).reshape(self.shape)


def _put(cls: type, pool: Pool, array: np.ndarray) -> Any:
    found = cls(Block(pool, array.nbytes), array.shape, array.dtype)
    _runtime.cuda_copy_in(
        0, found.block.ptr, np.ascontiguousarray(array).reshape(-1).view(np.uint8), pool.stream
    )
    return found


class _Device:
    def __init__(self, number: int) -> None:
        assert number == 0

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def make_cupy(pool: Pool) -> types.ModuleType:
    """Return a module like CuPy."""

    class ndarray(_Array):
        @property
        def dtype(self) -> np.dtype:
            return self.np_dtype

        @property
        def data(self) -> Block:
            return self.block

    ndarray.__module__ = "cupy"

    class OutOfMemoryError(MemoryError): ...

    def guarded(size: int) -> Block:
        try:
            return Block(pool, size)
        except MemoryError as problem:
            raise OutOfMemoryError(str(problem)) from None

    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        kind = np.dtype(dtype)
        return ndarray(guarded(int(np.prod(shape, dtype=np.int64)) * kind.itemsize), shape, kind)

    module = types.ModuleType("cupy")
    vars(module).update(
        ndarray=ndarray,
        empty=empty,
        asarray=lambda array: _put(ndarray, pool, array),
        asnumpy=lambda array: array.numpy(),
        cuda=types.SimpleNamespace(
            Device=_Device,
            get_current_stream=lambda: types.SimpleNamespace(ptr=pool.stream),
            alloc=guarded,
            memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        ),
    )
    return module


def make_torch(pool: Pool) -> types.ModuleType:
    """Return a module like torch."""

    class dtype:
        def __init__(self, name: str) -> None:
            self.name = name

        def __repr__(self) -> str:
            return f"torch.{self.name}"

    dtype.__module__ = "torch"
    kinds = {name: dtype(name) for name in ("float32", "float16", "int32", "int64", "uint8", "bool")}

    class Tensor(_Array):
        @property
        def dtype(self) -> Any:
            return kinds[self.np_dtype.name]

        def data_ptr(self) -> int:
            return self.block.ptr

    Tensor.__module__ = "torch"

    class OutOfMemoryError(RuntimeError): ...

    def empty(shape: tuple[int, ...], *, dtype: Any, device: str) -> Any:
        assert device == "cuda:0"
        kind = np.dtype(dtype.name)
        try:
            block = Block(pool, int(np.prod(shape, dtype=np.int64)) * kind.itemsize)
        except MemoryError as problem:
            raise OutOfMemoryError(str(problem)) from None
        return Tensor(block, shape, kind)

    module = types.ModuleType("torch")
    vars(module).update(
        **kinds,
        dtype=dtype,
        Tensor=Tensor,
        empty=empty,
        tensor=lambda array: _put(Tensor, pool, array),
        _C=types.SimpleNamespace(_cuda_getCurrentRawStream=lambda device: pool.stream),
        cuda=types.SimpleNamespace(is_available=lambda: True, OutOfMemoryError=OutOfMemoryError),
    )
    return module


@contextmanager
def installed(name: str) -> Iterator[tuple[Any, Pool]]:
    """Let `import cupy` or `import torch` find the imaginary one, and yield it with its pool."""
    pool = Pool()
    module = {"cupy": make_cupy, "torch": make_torch}[name](pool)
    before = sys.modules.get(name)
    caches = (devices._made, devices._has_cupy, devices._torch_has_gpus)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules[name] = module
    try:
        for cache in caches:
            cache.cache_clear()
        assert interop.kind_of_type(getattr(module, "ndarray", None) or module.Tensor) in (
            interop.CUPY,
            interop.TORCH,
        )
        yield module, pool
    finally:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        for cache in caches:
            cache.cache_clear()
