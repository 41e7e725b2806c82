"""Functions written in Triton by hand: what one expects of an afternoon, with sizes of blocks tried out by Triton."""

# pyright: reportIndexIssue=false
# A grid in brackets is Triton's way to start a kernel.
from __future__ import annotations

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def _scale_add(x, y, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    total = tl.load(x + at, inside).to(tl.float32) * 2 + tl.load(y + at, inside).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), inside)


@triton.jit
def _softmax(x, out, length, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    inside = at < length
    begin = tl.program_id(0).to(tl.int64) * length
    row = tl.load(x + begin + at, inside, other=-float("inf")).to(tl.float32)
    weights = tl.exp(row - tl.max(row, 0))
    tl.store(out + begin + at, (weights / tl.sum(weights, 0)).to(out.dtype.element_ty), inside)


def _configs() -> list[Any]:
    sizes = [
        (128, 256, 64, 8, 3),
        (128, 128, 64, 8, 3),
        (128, 128, 32, 4, 4),
        (64, 128, 64, 4, 4),
        (64, 64, 64, 4, 4),
    ]
    return [
        triton.Config({"M": m, "N": n, "K": k, "GROUP": 8}, num_warps=warps, num_stages=stages)
        for m, n, k, warps, stages in sizes
    ]


@triton.autotune(configs=_configs(), key=["rows", "columns", "depth"])
@triton.jit
def _product(
    a, b, out, rows, columns, depth, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, GROUP: tl.constexpr
):
    # Tiles of GROUP rows of tiles follow each other, column by column, so that they share columns of b in the cache.
    down, across = tl.cdiv(rows, M), tl.cdiv(columns, N)
    number = tl.program_id(0)
    first = number // (GROUP * across) * GROUP
    high = min(down - first, GROUP)
    i = (first + number % (GROUP * across) % high) * M + tl.arange(0, M)
    j = number % (GROUP * across) // high * N + tl.arange(0, N)
    total = tl.zeros((M, N), tl.float32)
    for begin in range(0, depth, K):
        k = begin + tl.arange(0, K)
        left = tl.load(a + i[:, None] * depth + k[None], (i[:, None] < rows) & (k[None] < depth), other=0.0)
        right = tl.load(
            b + k[:, None] * columns + j[None], (k[:, None] < depth) & (j[None] < columns), other=0.0
        )
        total = tl.dot(left, right, total)
    inside = (i[:, None] < rows) & (j[None] < columns)
    tl.store(out + i[:, None] * columns + j[None], total.to(out.dtype.element_ty), inside)


def scale_add(x: Any, y: Any) -> Any:
    """Return x * 2 + y."""
    out = torch.empty_like(x)
    _scale_add[(triton.cdiv(x.numel(), 1024),)](x, y, out, x.numel(), BLOCK=1024)
    return out


def softmax(x: Any) -> Any:
    """Return the softmax of each row: a block per row, which it keeps in registers."""
    out = torch.empty_like(x)
    block = triton.next_power_of_2(x.shape[1])
    _softmax[(x.shape[0],)](x, out, x.shape[1], BLOCK=block, num_warps=min(16, max(1, block // 512)))
    return out


def product(a: Any, b: Any) -> Any:
    """Return a @ b; sums in float32."""
    out = torch.empty((a.shape[0], b.shape[1]), device=a.device, dtype=a.dtype)

    def grid(sizes: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(a.shape[0], sizes["M"]) * triton.cdiv(b.shape[1], sizes["N"]),)

    _product[grid](a, b, out, a.shape[0], b.shape[1], a.shape[1])
    return out
