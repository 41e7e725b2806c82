"""The table of formats, and what it says of a weight's planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import dtypes, errors
from ..dtypes import DType

Planes = dict[str, np.ndarray]
GROUP = 32
#: Blocks of the K formats.
SUPER = 256


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table of formats.

    Attributes:
        name: as in ``#tw.format<name>``.
        bits: bits of one stored weight.
        block: weights per block of the raw layout; 0 when there is no raw layout (int8, int4).
        raw: the raw block as a NumPy structured dtype, None when there is none.
        scales: dtype of the scales; None when the caller chooses it.
        third: what the third plane is called, ``"mins"``, ``"zeros"`` or None.
        cell: how many weights the last dim of the storage holds, and in how many bytes; None for int8 and int4.
        group: weights per scale of a block format.
        middle: what is taken off the stored integer.
    """

    name: str
    bits: int
    block: int
    raw: np.dtype | None
    scales: DType | None
    third: str | None
    cell: tuple[int, int] | None = None
    group: int = GROUP
    middle: int = 0

    @property
    def is_block(self) -> bool:
        """Whether scales belong to groups of fixed size."""
        return self.block > 0

    def row_bytes(self, columns: int) -> int:
        """Return the bytes of one row of ``columns`` weights in the raw layout."""
        assert self.raw is not None
        return columns // self.block * self.raw.itemsize


def _record(*fields: tuple) -> np.dtype:
    return np.dtype([tuple(field) for field in fields])


_D, _M, _QS = ("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)

FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format("q4_0", 4, 32, _record(_D, _QS), dtypes.float16, None, (32, 16), middle=8),
        Format("q4_1", 4, 32, _record(_D, _M, _QS), dtypes.float16, "mins", (32, 16)),
        Format("q5_0", 5, 32, _record(_D, ("qh", "u1", 4), _QS), dtypes.float16, None, (32, 20), middle=16),
        Format("q5_1", 5, 32, _record(_D, _M, ("qh", "u1", 4), _QS), dtypes.float16, "mins", (32, 20)),
        Format("q8_0", 8, 32, _record(_D, ("qs", "i1", 32)), dtypes.float16, None, (32, 32)),
        Format(
            "q4_k",
            4,
            SUPER,
            _record(_D, ("dmin", "<f2"), ("sc", "u1", 12), ("qs", "u1", (4, 32))),
            dtypes.float32,
            "mins",
            (64, 32),
        ),
        Format(
            "q5_k",
            5,
            SUPER,
            _record(_D, ("dmin", "<f2"), ("sc", "u1", 12), ("qh", "u1", 32), ("qs", "u1", (4, 32))),
            dtypes.float32,
            "mins",
            (256, 160),
        ),
        Format(
            "q6_k",
            6,
            SUPER,
            _record(("ql", "u1", (2, 64)), ("qh", "u1", (2, 32)), ("sc", "i1", 16), _D),
            dtypes.float32,
            None,
            (128, 96),
            group=16,
            middle=32,
        ),
        Format("int8", 8, 0, None, None, "zeros"),
        Format("int4", 4, 0, None, None, "zeros"),
    )
}


def by_name(name: str | Format) -> Format:
    """Return the format of this name.

    Raises:
        UnsupportedOpError: when there is none.
    """
    if isinstance(name, Format):
        return name
    found = FORMATS.get(name)
    if found is None:
        hint = errors.did_you_mean(str(name), FORMATS) or "formats: " + ", ".join(FORMATS) + "."
        errors.fail(errors.UnsupportedOpError, f"quantisation: unknown format {name!r}", help=hint)
    return found


def check_group(fmt: Format, group: str | int) -> None:
    """Check what a caller says of the weights that share a scale.

    Raises:
        ArgumentError: when it is none of the ways to say it, or the format has groups of its own.
    """
    counts = isinstance(group, int) and not isinstance(group, bool) and group > 0
    if not counts and group not in ("tensor", "channel"):
        errors.fail(
            errors.ArgumentError,
            f"{fmt.name}: group must be 'tensor', 'channel' or a number of weights, got {group!r}",
        )
    if fmt.is_block and group != "channel":
        errors.fail(
            errors.ArgumentError,
            f"{fmt.name}: {fmt.group} weights share a scale, group cannot be {group!r}",
            help="group is for int8 and int4.",
        )


def columns_of(fmt: Format, shape: tuple[int, ...], group: int | None = None) -> int:
    """Return K after checking that it fills whole blocks (pairs, for int4)."""
    if not shape:
        errors.fail(errors.ShapeError, f"{fmt.name}: a scalar has no rows to quantise")
    multiple = fmt.block or group or (2 if fmt.bits == 4 else 1)
    if shape[-1] % multiple or (fmt.bits == 4 and shape[-1] % 2):
        errors.fail(
            errors.ShapeError,
            f"{fmt.name}: the last dim of {list(shape)} is not a multiple of {multiple}",
            help="pad the weight along its last dim, or choose another format.",
        )
    return shape[-1]


def plane_specs(
    fmt: str | Format, shape: tuple[int, ...], scales: DType | None = None, group: str | int = "channel"
) -> dict[str, tuple[tuple[int, ...], DType]]:
    """Return ``{plane: (shape, dtype)}`` of a weight.

    Args:
        fmt: the format.
        shape: shape of the weight, ``[..., K]``.
        scales: dtype of the scales of int8 and int4 (float32 by default); block formats have their own.
        group: for int8 and int4: ``"tensor"``, ``"channel"`` or the number of weights per scale.

    Raises:
        ShapeError: when K does not fill whole blocks or groups.
        ArgumentError: when `group` is none of these.
    """
    fmt, shape = by_name(fmt), tuple(shape)
    check_group(fmt, group)
    rows = shape[:-1]
    if fmt.is_block:
        columns = columns_of(fmt, shape)
        assert fmt.scales is not None and fmt.cell is not None
        groups, (weights, size) = columns // fmt.group, fmt.cell
        storage = ((*rows, columns // weights, size), dtypes.int8 if fmt.bits == 8 else dtypes.uint8)
        specs = {"storage": storage, "scales": ((*rows, groups), fmt.scales)}
        if fmt.third:
            specs[fmt.third] = ((*rows, groups), fmt.scales)
        return specs
    columns = columns_of(fmt, shape, group if isinstance(group, int) else None)
    storage = (shape, dtypes.int8) if fmt.bits == 8 else ((*rows, columns // 2), dtypes.uint8)
    scale_shape = () if group == "tensor" else rows if group == "channel" else (*rows, columns // int(group))
    return {
        "storage": storage,
        "scales": (scale_shape, scales or dtypes.float32),
        "zeros": (scale_shape, dtypes.int8),
    }
