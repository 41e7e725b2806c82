"""Rows of the op matrix: reductions, shapes, contractions and neural networks."""

from __future__ import annotations

import math

import numpy as np
import tilewright as tw
from cases_elementwise import public
from op_case import FLOATS, INTEGERS, NUMBERS, Case, In
from tilewright.reference import REFERENCE as ref

ANY = ("float32", "bfloat16", "int8", "uint16", "int64", "bool")
SOME = ("float32", "float64", "bfloat16", "int32", "uint8")
#: at least one element along each axis
FILLED = ((1, 1, 1, 1), (17, 3, 5, 2), (16, 64, 16, 4), (15, 65, 7, 3), (63, 33, 2, 1))


def _reduction(op: str, fn, axis, **options) -> Case:
    """A sum-like reduction of [m, n, 3] over ``axis``, in the dtype of its input."""
    axes = range(3) if axis is None else (axis,) if isinstance(axis, int) else axis

    def length(sizes):
        dims = (sizes["m"], sizes["n"], 3)
        return max(1, math.prod(dims[a] for a in axes))

    def expect(x):
        kept = {"dtype": x.dtype} if op in ("sum", "prod") else {}
        return np.asarray(fn(x, axis=axis, **kept))

    name = {"reduce_max": "max", "reduce_min": "min"}.get(op, op)
    run = {
        # The array API sums small integers in 64 bits: asking for the input's dtype keeps the operation alone.
        "sum": lambda x: tw.sum(x, axis=axis, dtype=x.dtype),
        "prod": lambda x: tw.prod(x, axis=axis, dtype=x.dtype),
    }.get(op, lambda x: getattr(tw, name)(x, axis=axis))
    return Case(op, run, expect, length=length, label=f"axis-{axis}".replace(" ", ""), **options)


REDUCTIONS: list[Case] = [
    *(
        case
        for axis in (0, 1, 2, (0, 2), None)
        for case in (
            _reduction("sum", np.sum, axis, inputs=(In("m n 3"),), dtypes=NUMBERS if axis == 1 else SOME, magnitude=True),
            _reduction("prod", np.prod, axis, inputs=(In("m n 3", 0.8, 1.2),), dtypes=SOME, magnitude=True),
            _reduction("reduce_max", np.max, axis, inputs=(In("m n 3", -99, 99),),
                       dtypes=NUMBERS if axis == 1 else SOME, sizes=FILLED),
            _reduction("reduce_min", np.min, axis, inputs=(In("m n 3", -99, 99),),
                       dtypes=NUMBERS if axis == 1 else SOME, sizes=FILLED),
            _reduction("any", np.any, axis, inputs=(In("m n 3"),), dtypes=("bool",)),
            _reduction("all", np.all, axis, inputs=(In("m n 3"),), dtypes=("bool",)),
            _reduction("mean", np.mean, axis, inputs=(In("m n 3"),), magnitude=True, sizes=FILLED),
        )
    ),
    *(
        Case("var", lambda x, a=axis, c=correction: tw.var(x, axis=a, correction=c),
             lambda x, a=axis, c=correction: np.var(x, axis=a, ddof=c),
             (In("m n 3", 1, 3),), length=lambda s: s["m"] * s["n"] * 3, scale=4.0,
             sizes=FILLED[1:], label=f"axis-{axis}-correction-{correction}")
        for axis, correction in ((1, 0), (0, 1), (None, 1))
    ),
    *(
        Case(op, lambda x, a=axis, op=op: getattr(tw, op)(x, axis=a), lambda x, a=axis, fn=fn: fn(x, axis=a),
             (In("m n 3", -9, 9),), dtypes=NUMBERS if axis == 1 else SOME, sizes=FILLED, label=f"axis-{axis}")
        for op, fn in (("argmax", np.argmax), ("argmin", np.argmin)) for axis in (0, 1, 2)
    ),
    *(
        Case("cumsum", lambda x, a=axis: tw.cumsum(x, axis=a, dtype=x.dtype),
             lambda x, a=axis: np.cumsum(x, axis=a, dtype=x.dtype), (In("m n"),), dtypes=SOME,
             length=lambda s, a=axis: s["mn"[a]], scale=64.0, label=f"axis-{axis}")
        for axis in (0, 1)
    ),
    Case("cumprod", lambda x: tw.cumprod(x, axis=1, dtype=x.dtype),
         lambda x: np.cumprod(x, axis=1, dtype=x.dtype), (In("m n", 0.8, 1.2),), dtypes=SOME,
         length=lambda s: s["n"], magnitude=True),
]  # fmt: skip

SHAPES: list[Case] = [
    Case("broadcast", lambda x: tw.broadcast_to(x, (4, 3, 5)), lambda x: np.broadcast_to(x, (4, 3, 5)),
         (In("3 1"),), dtypes=ANY, sizes=((),)),
    Case("broadcast", lambda x, y: x + y, lambda x, y: x + y, (In("m 1"), In("1 7")), dtypes=SOME,
         label="implicit", scale=4.0),
    Case("transpose", lambda x: tw.transpose(x, (2, 0, 1)), lambda x: np.transpose(x, (2, 0, 1)),
         (In("m n 5"),), dtypes=ANY),
    Case("reshape", lambda x: tw.reshape(x, (-1, 2)), lambda x: x.reshape(-1, 2), (In("m 4"),), dtypes=ANY),
    Case("reshape", lambda x: tw.reshape(x, (x.shape[0] * x.shape[1], 3)),
         lambda x: x.reshape(x.shape[0] * x.shape[1], 3), (In("m n 3"),), dtypes=ANY, label="merge"),
    Case("slice", lambda x: x[1:9:2, ..., ::3], lambda x: x[1:9:2, ..., ::3], (In("m n 9"),), dtypes=ANY,
         sizes=((9, 1), (9, 0), (17, 3), (64, 16), (65, 15))),
    Case("slice", lambda x: x[2, -3:], lambda x: x[2, -3:], (In("m n"),), dtypes=ANY,
         sizes=((3, 3), (17, 5), (16, 64)), label="negative"),
    Case("concat", lambda x, y: tw.concat([x, y, x], axis=1), lambda x, y: np.concatenate([x, y, x], axis=1),
         (In("m n"), In("m k")), dtypes=ANY),
    Case("pad", lambda x: tw.pad(x, ((1, 2), (0, 3)), constant_values=1),
         lambda x: np.pad(x, ((1, 2), (0, 3)), constant_values=x.dtype.type(1)), (In("m n"),), dtypes=ANY),
    Case("flip", lambda x: tw.flip(x, axis=(0, 1)), lambda x: np.flip(x, (0, 1)), (In("m n 2"),), dtypes=ANY),
    Case("iota", lambda x: tw.arange(7, dtype=x.dtype) + x, lambda x: np.arange(7).astype(x.dtype) + x,
         (In("m 7", 0, 9),), dtypes=SOME, scale=16.0),
    *(
        Case("gather", lambda x, i, m=mode, a=axis: tw.take(x, i, axis=a, mode=m),
             lambda x, i, m=mode, a=axis: np.take(x, i, axis=a, mode=m),
             (In("5 n 3", -99, 99), In("k", *bounds, dtype=index)), dtypes=ANY,
             label=f"{mode}-axis-{axis}-{index}")
        for mode, bounds, axis, index in (
            ("clip", (0, 9), 0, "int64"), ("wrap", (-9, 9), 2, "int32"), ("raise", (-3, 2), 2, "int64"),
            ("clip", (0, 9), 0, "uint8"),
        )
    ),
]  # fmt: skip


UPDATES: list[Case] = [
    *(
        Case("scatter",
             lambda x, i, u, a=axis, k=kind: tw.scatter(x, i, u, axis=a, kind=k),
             lambda x, i, u, a=axis, k=kind: ref["scatter"](x, i, u, axis=a, kind=k),
             (In("5 n 6", -9, 9), In("k", -7, 7, dtype="int64"), In(dims, -9, 9)), dtypes=SOME, scale=64.0,
             rounded=4 if kind == "add" else 0, label=f"{kind}-axis-{axis}")
        for kind in ("set", "add", "max", "min") for axis, dims in ((0, "k n 6"), (2, "5 n k"))
    ),
    Case("update_slice", lambda x, u, i: tw.update_slice(x, u, (i, 0)),
         lambda x, u, i: ref["update_slice"](x, u, (int(i), 0)),
         (In("17 n", -9, 9), In("3 n", -9, 9), In("", -4, 20, dtype="int64")), dtypes=ANY),
    Case("slice", lambda x, i: tw.dynamic_slice(x, (0, i), (x.shape[0], 3)),
         lambda x, i: ref["slice"](x, (0, int(i)), (x.shape[0], 3), (1, 1)),
         (In("m 9"), In("", -4, 12, dtype="int32")), dtypes=ANY, label="dynamic"),
]  # fmt: skip


def _product(run, expect, inputs, k, label, dtypes=(*FLOATS, "int32", "uint8", "int64"), **options) -> Case:
    return Case(
        "dot_general", run, expect, inputs, dtypes=dtypes, length=k, magnitude=True, label=label, **options
    )


CONTRACTIONS: list[Case] = [
    _product(public("matmul"), np.matmul, (In("m k"), In("k n")), lambda s: s["k"], "matrix"),
    _product(public("matmul"), np.matmul, (In("m k"), In("k n")), lambda s: s["k"], "large", dtypes=FLOATS,
             sizes=((67, 129, 130), (128, 256, 96), (1, 577, 300), (300, 64, 1))),
    _product(public("matmul"), np.matmul, (In("3 m k"), In("3 k n")), lambda s: s["k"], "batch"),
    _product(lambda x, w: x @ tw.matrix_transpose(w), lambda x, w: x @ w.T, (In("m k"), In("n k")),
             lambda s: s["k"], "transposed"),
    _product(public("matmul"), np.matmul, (In("m k"), In("k")), lambda s: s["k"], "vector"),
    _product(lambda x, y: tw.einsum("bhqd,bkhd->bhqk", x, y), lambda x, y: np.einsum("bhqd,bkhd->bhqk", x, y),
             (In("2 3 m 8"), In("2 n 3 8")), lambda s: 8, "einsum", dtypes=FLOATS),
    *(
        Case("conv", lambda x, w, o=options: tw.conv(x, w, **o), lambda x, w, o=options: _conv(x, w, **o),
             (In(f"b 4 {' '.join('hw'[:rank])}"), In(f"6 {4 // options.get('groups', 1)} " + "3 " * rank)),
             dtypes=FLOATS, length=lambda s, r=rank: 4 * 3**r, magnitude=True,
             sizes=((1, 7, 7), (0, 7, 8), (2, 16, 9), (3, 17, 15)), label=f"{rank}d-{label}")
        for rank, label, options in (
            (1, "plain", {}), (2, "plain", {}), (2, "strides", {"stride": 2, "padding": 1}),
            (2, "groups", {"groups": 2, "dilation": 2, "padding": 1}),
        )
    ),
    *(
        Case("pool", lambda x, k=kind: getattr(tw, f"{k}_pool")(x, window=3, stride=2),
             lambda x, k=kind: _pool(x, k), (In("b 3 h w", -9, 9),), dtypes=FLOATS, length=lambda s: 9,
             magnitude=kind == "avg", sizes=((1, 7, 7), (0, 7, 8), (2, 16, 9), (3, 17, 15)), label=kind)
        for kind in ("max", "avg")
    ),
]  # fmt: skip


def _conv(x, w, stride=1, dilation=1, padding=0, groups=1):
    n = x.ndim - 2
    return ref["conv"](
        x,
        w,
        strides=[stride] * n,
        dilations=[dilation] * n,
        low=[padding] * n,
        high=[padding] * n,
        groups=groups,
    )


def _pool(x, kind):
    n = x.ndim - 2
    options = {"window": [3] * n, "strides": [2] * n, "dilations": [1] * n, "low": [0] * n, "high": [0] * n}
    total = ref["pool"](x, kind="max" if kind == "max" else "sum", **options)
    return total if kind == "max" else total / 3**n


def _attention(q, k, v, causal=False):
    return ref["attention"](q, k, v, causal=causal, scale=1 / math.sqrt(q.shape[-1]))


NN: list[Case] = [
    Case("softmax", lambda x: tw.softmax(x, axis=-1), lambda x: ref["softmax"](x, axis=-1), (In("m n", -9, 9),),
         length=lambda s: s["n"], scale=1.0),
    Case("softmax", lambda x: tw.softmax(x, axis=0), lambda x: ref["softmax"](x, axis=0), (In("m n 3", -9, 9),),
         length=lambda s: s["m"], scale=1.0, label="axis-0"),
    Case("log_softmax", lambda x: tw.log_softmax(x, axis=-1), lambda x: ref["log_softmax"](x, axis=-1),
         (In("m n", -9, 9),), length=lambda s: s["n"], scale=16.0),
    Case("layer_norm", lambda x, w, b: tw.layer_norm(x, w, b, eps=1e-5),
         lambda x, w, b: ref["layer_norm"](x, w, b, eps=1e-5), (In("m n"), In("n"), In("n")),
         length=lambda s: s["n"], scale=8.0, sizes=((1, 2), (0, 5), (17, 3), (16, 64), (15, 65))),
    Case("layer_norm", lambda x: tw.layer_norm(x), lambda x: ref["layer_norm"](x), (In("m n"),),
         length=lambda s: s["n"], scale=4.0, sizes=((3, 2), (17, 3), (16, 64)), label="plain"),
    Case("rms_norm", lambda x, w: tw.rms_norm(x, w, eps=1e-5), lambda x, w: ref["rms_norm"](x, w, eps=1e-5),
         (In("m n"), In("n")), length=lambda s: s["n"], scale=4.0,
         sizes=((1, 1), (0, 5), (17, 3), (16, 64), (15, 65))),
    *(
        Case("rope", lambda x, c, s, i=interleaved: tw.rope(x, c, s, interleaved=i),
             lambda x, c, s, i=interleaved: ref["rope"](x, c, s, interleaved=i),
             (In("2 3 m 10"), In("m 5", -1, 1), In("m 5", -1, 1)), scale=4.0,
             label="interleaved" if interleaved else "halves")
        for interleaved in (False, True)
    ),
    *(
        Case("attention", lambda q, k, v, c=causal: tw.attention(q, k, v, causal=c),
             lambda q, k, v, c=causal: _attention(q, k, v, c),
             (In("2 4 s 8"), In("2 2 t 8"), In("2 2 t 6")), length=lambda s: s["t"], scale=4.0, rounded=1,
             sizes=((1, 1), (1, 17), (16, 64), (15, 15), (33, 65)), label="causal" if causal else "full")
        for causal in (False, True)
    ),
    Case("attention", lambda q, k, v, m: tw.attention(q, k, v, mask=m, scale=0.5),
         lambda q, k, v, m: ref["attention"](q, k, v, m, scale=0.5),
         (In("2 4 s 8"), In("2 2 t 8"), In("2 2 t 6"), In("1 1 s t")), length=lambda s: s["t"], scale=4.0, rounded=1,
         sizes=((1, 1), (16, 64), (15, 17)), label="masked"),
]  # fmt: skip

CASES = [*REDUCTIONS, *SHAPES, *UPDATES, *CONTRACTIONS, *NN]
__all__ = ["CASES", "INTEGERS"]
