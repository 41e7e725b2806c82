"""Quantisation formats in NumPy: split, pack, quantise, dequantise.

A quantised weight ``[N, K]`` is a few plain arrays, its *planes*; how they make numbers is the *format*.
Block formats (GGML's layouts) keep 32 weights per scale (q6_k: 16), ``G = K / 32``:

=======  =========================  ==================  ==================  =======================
format   storage                    scales              mins                weight
=======  =========================  ==================  ==================  =======================
q4_0     uint8 [N, G, 16]           float16 [N, G]      –                   ``d * (q - 8)``
q4_1     uint8 [N, G, 16]           float16 [N, G]      float16 [N, G]      ``d * q + m``
q5_0     uint8 [N, G, 20]           float16 [N, G]      –                   ``d * (q - 16)``
q5_1     uint8 [N, G, 20]           float16 [N, G]      float16 [N, G]      ``d * q + m``
q8_0     int8 [N, G, 32]            float16 [N, G]      –                   ``d * q``
q4_k     uint8 [N, G / 2, 32]       float32 [N, G]      float32 [N, G]      ``d * q - m``
q5_k     uint8 [N, G / 8, 160]      float32 [N, G]      float32 [N, G]      ``d * q - m``
q6_k     uint8 [N, G / 4, 96]       float32 [N, 2 G]    –                   ``d * (q - 32)``
int8     int8 [N, K]                see below           zeros, optional     ``d * (q - zero)``
int4     uint8 [N, K / 2]           see below           zeros, optional     ``d * (q - zero)``
=======  =========================  ==================  ==================  =======================

Byte ``j`` of a 16-byte group holds weight ``j`` in its low and weight ``j + 16`` in its high nibble; byte ``j`` of a
32-byte pair of groups (q4_k) holds weight ``j`` of the first, low, and of the second, high. What has five or six bits
keeps the low four like that, and the high ones in the last bytes of its storage:

- q5_0, q5_1: four bytes with a bit per weight, in order;
- q5_k: 32 bytes, bit ``g`` of byte ``j`` for weight ``j`` of group ``g``;
- q6_k: 64 bytes of nibbles for 128 weights (byte ``j`` holds weights ``j`` and ``j + 64``), then 32 bytes, bits ``2 i``
  and ``2 i + 1`` of byte ``j`` for weight ``32 i + j``.

int4 holds two neighbours per byte, low nibble first, as signed values. The scales of int8 and int4 say how fine they
are: ``[]`` per tensor, ``[N]`` per channel (row), ``[N, K / group]`` per group; zero points are int8 of the same
shape. All leading dims stand for N.

Source: https://github.com/ggml-org/ggml (block layouts), checked in the tests against the ``gguf`` package.
"""

from __future__ import annotations

from .blocks import join, split
from .numbers import dequantize
from .packing import pack_int4, unpack_int4
from .rounding import quantize, super_blocks
from .table import FORMATS, GROUP, Format, by_name, plane_specs

__all__ = [
    "FORMATS",
    "GROUP",
    "Format",
    "by_name",
    "dequantize",
    "join",
    "pack_int4",
    "plane_specs",
    "quantize",
    "split",
    "super_blocks",
    "unpack_int4",
]
