"""What is measured on a GPU: functions of every library, sizes, and the least bytes or operations that they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import tilewright as tw

from . import decode

Shape = tuple[int, ...]
SIZE = {"float32": 4, "bfloat16": 2, "float16": 2, "int32": 4, "uint8": 1}


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: for people.
        arguments: shape and dtype of each argument.
        functions: by library; each but ours gets its module first. `eager`: not for torch.compile. Of "tokens": each
            makes a step.
        amount: bytes read and written at least, or arithmetic operations; of a step, the bytes of the weights.
        unit: "bytes" (compared with a copy), "flops" (compared with a product of torch), "calls" (time on the host)
            or "tokens" (steps of a language model).
    """

    name: str
    arguments: tuple[tuple[Shape, str], ...]
    functions: dict[str, Any] = field(repr=False)
    amount: float
    unit: str = "bytes"


def _bytes(*arrays: tuple[Shape, str]) -> float:
    return float(sum(np.prod(shape, dtype=np.float64) * SIZE[dtype] for shape, dtype in arrays))


def pointwise(elements: int) -> Iterator[Case]:
    """Long arrays: the speed of memory and nothing else."""
    for dtype in ("float32", "bfloat16"):
        x = ((elements,), dtype)
        yield Case(
            f"x * 2 + y, {dtype}",
            (x, x),
            {
                "tilewright": lambda x, y: x * 2 + y,
                "torch": lambda t, x, y: x * 2 + y,
                "cupy": lambda c, x, y: x * 2 + y,
                "jax": lambda j, x, y: x * 2 + y,
                "triton": lambda k, x, y: k.scale_add(x, y),
            },
            _bytes(x, x, x),
        )
    x = ((elements,), "bfloat16")
    yield Case(
        "gelu(x) * y, bfloat16",
        (x, x),
        {
            "tilewright": lambda x, y: tw.gelu(x) * y,
            "torch": lambda t, x, y: t.nn.functional.gelu(x) * y,
            "jax": lambda j, x, y: j.nn.gelu(x, approximate=False) * y,
        },
        _bytes(x, x, x),
    )


def rows(count: int, length: int) -> Iterator[Case]:
    """Softmax and norms of many rows."""
    x, w = ((count, length), "bfloat16"), ((length,), "bfloat16")
    yield Case(
        f"softmax {count}x{length}, bfloat16",
        (x,),
        {
            "tilewright": tw.softmax,
            "torch": lambda t, x: t.softmax(x, -1),
            "jax": lambda j, x: j.nn.softmax(x),
            "triton": lambda k, x: k.softmax(x),
        },
        _bytes(x, x),
    )
    yield Case(
        f"rms_norm {count}x{length}, bfloat16",
        (x, w),
        {
            "tilewright": tw.rms_norm,
            "torch": lambda t, x, w: t.nn.functional.rms_norm(x, w.shape, w, 1e-5),
        },
        _bytes(x, x),
    )
    yield Case(
        f"layer_norm {count}x{length}, bfloat16",
        (x, w, w),
        {
            "tilewright": tw.layer_norm,
            "torch": lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b),
        },
        _bytes(x, x),
    )


def products(shapes: list[tuple[int, int, int]]) -> Iterator[Case]:
    """Matrix products in bfloat16."""
    for m, n, k in shapes:
        yield Case(
            f"product {m}x{n}x{k}, bfloat16",
            (((m, k), "bfloat16"), ((k, n), "bfloat16")),
            {
                "tilewright": lambda a, b: a @ b,
                "torch": lambda t, a, b: a @ b,
                "jax": lambda j, a, b: a @ b,
                "triton": lambda k, a, b: k.product(a, b),
                "eager": True,
            },
            2.0 * m * n * k,
            "flops",
        )


def attention(batch: int, heads: int, lengths: list[int], width: int = 128) -> Iterator[Case]:
    """Attention forward, with and without the causal mask."""
    for length in lengths:
        for causal in (False, True):
            q = ((batch, heads, length, width), "bfloat16")
            yield Case(
                f"attention {batch}x{heads}x{length}x{width}{' causal' if causal else ''}, bfloat16",
                (q, q, q),
                {
                    "tilewright": lambda q, k, v, causal=causal: tw.attention(q, k, v, causal=causal),
                    "torch": lambda t, q, k, v, causal=causal: t.nn.functional.scaled_dot_product_attention(
                        q, k, v, is_causal=causal
                    ),
                    "eager": True,
                },
                4.0 * batch * heads * length * length * width * (0.5 if causal else 1.0),
                "flops",
            )


def _unpacked(t: Any, x: Any, storage: Any, scales: Any) -> Any:
    """In torch: the product of a vector with rows of 4-bit numbers, as a sum that torch.compile makes one kernel of."""
    numbers = t.cat([storage & 15, storage >> 4], -1).to(x.dtype) - 8
    terms = (numbers * scales[..., None]).flatten(1) * x
    return terms.float().sum(-1)[None].to(x.dtype)


def vectors(sizes: list[int]) -> Iterator[Case]:
    """A vector times a matrix of 4-bit weights, groups of 32 with a scale each (q4_0): little but reading weights."""
    for n in sizes:
        x, scales = ((1, n), "float16"), ((n, n // 32), "float16")
        storage = ((n, n // 32, 16), "uint8")
        yield Case(
            f"vector times {n}x{n} in 4 bits, float16",
            (x, storage, scales),
            {
                "tilewright": lambda x, q, d: tw.linear(
                    x, tw.QuantizedTensor({"storage": q, "scales": d}, format="q4_0")
                ),
                "torch": _unpacked,
            },
            _bytes(x, storage, scales, x),
        )


def language_models(config: Any, context: int) -> Iterator[Case]:
    """Decoding, one token after another; the host chooses each."""
    for format in ("float16", "q4_0"):
        for graphs in (True, False):
            functions: dict[str, Any] = {"tilewright": partial(decode.ours, config, format, context, graphs)}
            if format == "float16" and graphs:
                functions["torch"] = partial(_torch_steps, config, format, context)
            yield Case(
                f"decode, {config.layers} layers of {config.hidden}, {format}{'' if graphs else ', no graph'}",
                (),
                functions,
                decode.bytes_per_step(config, format),
                "tokens",
            )


def _torch_steps(config: Any, format: str, context: int, torch: Any, compiled: bool) -> decode.Step:
    return decode.torchs(torch, config, format, context, compiled)


def launches() -> Iterator[Case]:
    """Time on the host of a call that has next to nothing to do."""
    one = (((16,), "float32"),)

    def total(*arrays: Any) -> Any:
        found = arrays[0]
        for array in arrays[1:]:
            found = found + array
        return found

    for count in (1, 19):
        yield Case(
            f"call with {count} arguments",
            one * count,
            {
                "tilewright": total if count > 1 else (lambda x: x + 1),
                "torch": (lambda t, *a: total(*a)) if count > 1 else (lambda t, x: x + 1),
                "cupy": (lambda c, *a: total(*a)) if count > 1 else (lambda c, x: x + 1),
                "jax": (lambda j, *a: total(*a)) if count > 1 else (lambda j, x: x + 1),
            },
            1.0,
            "calls",
        )

    def chain(x: Any, softmax: Callable[[Any], Any]) -> Any:
        for _ in range(10):
            x = softmax(x @ x)
        return x

    yield Case(
        "call with 20 kernels",
        (((64, 64), "float32"),),
        {
            "tilewright": lambda x: chain(x, tw.softmax),
            "torch": lambda t, x: chain(x, lambda y: t.softmax(y, -1)),
            "jax": lambda j, x: chain(x, j.nn.softmax),
        },
        1.0,
        "calls",
    )


#: Twenty shapes of products: square ones, those of transformers, odd ones.
SWEEP = [
    (8192, 8192, 8192), (4096, 4096, 4096), (2048, 2048, 2048), (1024, 1024, 1024), (512, 512, 512),
    (8192, 1024, 8192), (1024, 8192, 8192), (8192, 8192, 1024), (4096, 12288, 4096), (4096, 4096, 11008),
    (2048, 11008, 4096), (16384, 2048, 2048), (128, 8192, 8192), (256, 4096, 4096), (64, 16384, 4096),
    (3000, 3000, 3000), (5120, 5120, 5120), (4096, 32000, 2048), (1536, 1536, 6144), (6144, 6144, 6144),
]  # fmt: skip


def everything(small: bool) -> list[Case]:
    """Return the cases in order; small ones for a run that shows only that they work."""
    if small:
        return [
            *pointwise(1000),
            *rows(3, 40),
            *products([(20, 17, 9)]),
            *attention(1, 2, [16], 16),
            *vectors([64]),
            *language_models(decode.SMALL, 16),
            *launches(),
        ]
    return [
        *pointwise(1 << 28),
        *rows(1 << 16, 8192),
        *products(SWEEP),
        *attention(2, 16, [4096, 16384]),
        *vectors([4096, 8192]),
        *language_models(decode.SMOLLM2, 512),
        *launches(),
    ]
