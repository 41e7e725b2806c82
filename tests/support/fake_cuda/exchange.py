"""A class of arrays that offers DLPack's functions for native code, as torch's does."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from fake_cuda.arrays import Foreign


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("offset", ctypes.c_uint64),
    )


_VIEW = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(_Tensor))
_STREAM = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p)


class _Exchange(ctypes.Structure):
    """DLPackExchangeAPI."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("previous", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p),
        ("export", ctypes.c_void_p),
        ("import", ctypes.c_void_p),
        ("view", _VIEW),
        ("stream", _STREAM),
    )


def _view(array: Any, tensor: Any) -> int:
    array.looked += 1
    size = array.dtype.itemsize
    steps = array.strides or [
        int(np.prod(array.shape[i + 1 :], dtype=np.int64)) * size for i in range(len(array.shape))
    ]
    array.kept = (
        (ctypes.c_int64 * len(array.shape))(*array.shape),
        (ctypes.c_int64 * len(steps))(*(step // size for step in steps)),
    )
    found = tensor[0]
    found.data, found.offset = array.memory.pointer, array.offset
    found.device_type, found.device_id, found.ndim = 2, 0, len(array.shape)
    found.code, found.bits, found.lanes = {"f": 2, "i": 0}[array.dtype.kind], 8 * size, 1
    found.shape, found.strides = (ctypes.addressof(part) for part in array.kept)
    return 0


_api = _Exchange(1, 3, None, None, None, None, _VIEW(_view), _STREAM(lambda kind, device, out: 0))
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_NAME = b"dlpack_exchange_api"


class Exchanging(Foreign):
    """Like `Foreign`; counts how often native code looked at it."""

    __dlpack_c_exchange_api__ = _new(ctypes.addressof(_api), _NAME, None)
    looked = 0
