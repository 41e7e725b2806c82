"""Each way to misuse an op: the error's class, what it says, and the user's line; never an error of the compiler's own."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from tilewright import numpy as tnp

X = np.arange(12, dtype=np.float32).reshape(3, 4)
V = np.arange(5, dtype=np.float32)
I = np.int64([0, 1])
Q = tw.QuantizedTensor(
    {"storage": np.ones((4, 64), np.int8), "scales": np.ones(4, np.float32)}, format="int8"
)

SHAPE = [
    (lambda x: x.T @ x.T, "inner sizes 3 and 4 differ"),
    (lambda x: x @ np.ones((3, 4), "f"), "transpose one operand"),
    (lambda x: x @ x.sum(), "use * for scalars"),
    (lambda x: tw.dot_general(x, x, lhs_contract=(0,), rhs_contract=()), "paired axes differ"),
    (lambda x: tw.tensordot(x, x, axes=((0, 1), (0,))), "2 axes against 1"),
    (lambda x: tw.linear(x, x[0]), "weight [N, K]"),
    (lambda x: tw.einsum("ij,jk->ik", x, x), "'j' is 4 and 3"),
    (lambda x: tw.einsum("ijk->i", x), "names 3 axes"),
    (lambda x: tw.reshape(x, (5, -1)), "does not divide"),
    (lambda x: tw.reshape(x, (-2, 3)), "negative size"),
    (lambda x: tw.reshape(x, "ab"), "must be an int or a size of a shape"),
    (lambda x: tw.transpose(x, (0, 0)), "no permutation"),
    (lambda x: tw.moveaxis(x, (0, 1), 0), "2 axes for 1 places"),
    (lambda x: tw.matrix_transpose(x[0]), "need two axes"),
    (lambda x: tw.broadcast_to(x, (4, 4)), "does not stretch"),
    (lambda x: tw.concat([]), "nothing to join"),
    (lambda x: tw.concat([x, x[0]]), "concat"),
    (lambda x: tw.stack([x, x.T]), "differ"),
    (lambda x: tw.squeeze(x, 0), "has size 3, not 1"),
    (lambda x: tw.expand_dims(x, 7), "out of range"),
    (lambda x: tw.flip(x, axis=4), "out of range"),
    (lambda x: tw.split(x, 2), "no 2 equal parts"),
    (lambda x: tw.split(x, 0), "no 0 equal parts"),
    (lambda x: tw.pad(x, ((1, 2), (3, 4), (5, 6))), "one pair of sizes >= 0 per axis"),
    (lambda x: tw.pad(x, -1), "one pair of sizes >= 0 per axis"),
    (lambda x: tw.pad(x, "edge"), "one pair of sizes >= 0 per axis"),
    (lambda x: tw.pad(x, 1.5), "one pair of sizes >= 0 per axis"),
    (lambda x: tw.pad(x, ((0, 0.7), (0, 0))), "one pair of sizes >= 0 per axis"),
    (lambda x: tw.roll(x, (1, 2, 3), axis=(0, 1)), "3 shifts for 2 axes"),
    (lambda x: tw.repeat(x, -1), "number of repeats is -1"),
    (lambda x: tw.tile(x, (2, -1)), "negative count"),
    (lambda x: tw.tril(x[0]), "need two axes"),
    (lambda x: tw.sum(x, axis="a"), "must be an int"),
    (lambda x: tw.var(x, axis=(0, 0)), "repeated"),
    (lambda x: tw.max(x[:, :0], axis=1), "axis of size 0"),
    (lambda x: tw.argmax(x[:, :0], axis=1), "is empty"),
    (lambda x: tw.cumsum(x, axis=3), "out of range"),
    (lambda x: tw.full((2,), x), "must be 0-d"),
    (lambda x: tw.zeros((2, -1)), "negative size"),
    (lambda x: tw.arange(0, 1, 0), "step is 0"),
    (lambda x: tw.meshgrid(x), "must be 1-d"),
    (lambda x: tw.take(x[:0], I, axis=0), "is empty"),
    (lambda x: tw.take_along_axis(x, I), "ranks differ"),
    (lambda x: tw.scatter(x, np.int64([[0]]), x[:1]), "indices must be 1-d"),
    (lambda x: tw.dynamic_slice(x, (0,), (1, 1)), "1 starts and 2 sizes for rank 2"),
    (lambda x: tw.dynamic_slice(x, (0, 0), (1, 9)), "is larger than"),
    (lambda x: tw.update_slice(x, np.ones((4, 4), "f"), (0, 0)), "is larger than"),
    (lambda x: x[:: x.shape[0] - 3], "step is 0"),
    (lambda x: x[7], "out of range"),
    (lambda x: tw.conv(x, x), "of one rank >= 3"),
    (lambda x: tw.conv(x[None], np.ones((2, 4, 1), "f")), "do not fit groups"),
    (lambda x: tw.conv(x[None], np.ones((2, 3, 1), "f"), np.ones(3, "f")), "bias has shape [3], expected [2]"),
    (lambda x: tw.conv(x[None], np.ones((2, 3, 1), "f"), stride=(1, 1)), "one positive number per spatial axis"),
    (lambda x: tw.conv(x[None], np.ones((2, 3, 1), "f"), padding=(-1,)), "a number or a pair >= 0"),
    (lambda x: tw.max_pool(x, 2), "expected [N, C, ...spatial]"),
    (lambda x: tw.max_pool(x[None], 9), "does not fit into the padded size 4"),
    (lambda x: tw.batch_norm(x, x, x), "mean has shape"),
    (lambda x: tw.layer_norm(x, np.ones(3, "f")), "expected [4]"),
    (lambda x: tw.softmax(x.sum()), "0-d"),
    (lambda x: tw.rope(x[:, :3], x, x), "static even D"),
    (lambda x: tw.rope(x, x, x), "expected [3, 2]"),
    (lambda x: tw.attention(x, x, x), "expected four axes"),
    (lambda x: tw.attention(*[x[None, None]] * 2, x[None, None, :2]), "sizes 3 and 2 differ"),
    (lambda x: tw.attention(*[x[None, None]] * 3, mask=x[:2]), "attention"),
    (lambda x: tw.embedding(I, x[0]), "expected a table [V, E]"),
    (lambda x: tw.quantize(x, "q8_0"), "a multiple of 32 for q8_0"),
    (lambda x: tw.embedding(I, Q.T), "expected a quantised matrix"),
]  # fmt: skip

DTYPE = [
    (
        lambda x: tw.dot_general(x, x, lhs_contract=(1,), rhs_contract=(1,), dtype="int32"),
        "float32 operands cannot be int32",
    ),
    (lambda x: x + "a", "expected an array or a number, got str"),
    (lambda x: x @ object(), "got object"),
    (lambda x: x + [1, 2], "np.asarray"),
    (lambda x: x.astype("complex64"), "unknown name 'complex64'"),
    (lambda x: x.astype("int4"), "tw.quantize"),
    (lambda x: tw.astype(np.zeros(3, tw.dtypes.int4.numpy), "float32"), "tw.dequantize"),
    (lambda x: x & 1, "expected an integer or bool"),
    (lambda x: tw.take(x, x), "expected an integer"),
    (lambda x: tw.argmax(x > 1), "expected a number"),
    (lambda x: tw.exp(x > 1), "expected a float"),
    (lambda x: tw.iota((2,), 0, dtype="bool"), "cannot count"),
    (lambda x: tw.fori_loop(0.5, 3, lambda i, v: v, x), "an integer as bound"),
    (lambda x: tw.dynamic_slice(x, (0.5, 0), (1, 1)), "a start must be a 0-d integer"),
    (lambda x: tw.dequantize(x), "expected a QuantizedTensor"),
    (lambda x: tw.dequantize(Q, dtype="int8"), "expected a float dtype"),
]

ARGUMENT = [
    (lambda x: tw.einsum("ij?->i", x), "cannot read"),
    (lambda x: tw.einsum("ij->ii", x), "cannot read"),
    (lambda x: tw.einsum("ij,jk->ik", x), "2 terms"),
    (lambda x: tw.einsum("ij->iz", x), "'z' appears only in the output"),
    (lambda x: tw.take(x, I, mode="what"), "mode must be"),
    (lambda x: tw.scatter(x, I, x[:2], kind="what"), "kind must be"),
    (lambda x: tw.gelu(x, approximate="what"), "approximate must be"),
    (lambda x: tw.matmul(x, x.T, precision="fast"), "precision='fast' does not exist"),
    (lambda x: tw.einsum("ij->i"), "expected subscripts and operands"),
    (lambda x: tw.einsum(x, x), "expected subscripts and operands"),
    (lambda x: tw.roll(x, 1.5), "must be an int"),
    (lambda x: tw.roll(x, 2.5, axis=(0, 1)), "must be an int, got 2.5"),
    (lambda x: tw.split(x, 2.0), "the places to cut at, got 2.0"),
    (lambda x: tw.split(x, [1.5]), "bounds of a slice must be ints, got 1.5"),
    (lambda x: x[:1.5], "must be ints, got 1.5"),
    (lambda x: x[1:"a"], "must be ints, got 'a'"),
    (lambda x: x[::0.5], "must be ints, got 0.5"),
    (lambda x: x[2.5::-1], "must be ints, got 2.5"),
    (lambda x: tw.quantize(x, group=0), "a number of weights, got 0"),
    (lambda x: tw.quantize(x, group=-2), "a number of weights, got -2"),
    (lambda x: tw.quantize(x, group=2.5), "a number of weights, got 2.5"),
    (lambda x: tw.quantize(x, group="rows"), "a number of weights, got 'rows'"),
    (lambda x: tw.quantize(x, group=None), "a number of weights, got None"),
    (lambda x: tw.quantize(x, "q8_0", group=4), "32 weights share a scale"),
    (lambda x: tw.repeat(x, I), "must be an int"),
    (lambda x: tw.scan(lambda c, y: (c, y), x, ()), "give xs or length"),
    (lambda x: tw.conv(x[None], np.ones((2, 3, 1), "f"), padding="full"), "padding must be"),
    (lambda x: tw.QuantizedTensor({"storage": V}, format="int8"), "do not fit format int8"),
]

UNSUPPORTED = [
    (lambda x: tw.einsum("ii->i", x[:, :3]), "diagonals"),
    (lambda x: tw.pad(x, 1, mode="edge"), "use mode='constant'"),
    (lambda x: tw.quantize(x, "q4_k"), "ahead of time"),
    (lambda x: x[x > 1], "tw.where"),
    (lambda x: x[I, I], "index one axis at a time"),
    (lambda x: np.sort(x), "numpy.sort is not supported"),
    (lambda x: np.add.accumulate(x), "numpy.add.accumulate is not supported"),
    (lambda x: np.hypot.reduce(x), "numpy.hypot.reduce is not supported"),
    (lambda x: np.sum(x, initial=3.0), "argument initial"),
    (lambda x: np.diff(x, n=2), "arguments are not supported"),
    (lambda x: tnp.linalg.vector_norm(x, ord=3), "use 1, 2 or inf"),
]


@pytest.mark.parametrize(
    ("cls", "program", "phrase"),
    [
        pytest.param(cls, program, phrase, id=f"{cls.__name__}-{phrase}")
        for cls, rows in (
            (tw.ShapeError, SHAPE),
            (tw.DTypeError, DTYPE),
            (tw.ArgumentError, ARGUMENT),
            (tw.UnsupportedOpError, UNSUPPORTED),
        )
        for program, phrase in rows
    ],
)
def test_mistake(cls, program, phrase):
    with pytest.raises(cls) as info:
        tw.jit(program).trace(X)
    assert phrase in str(info.value)
    assert info.value.loc is not None and info.value.loc.file == __file__
    assert info.value.loc.line == program.__code__.co_firstlineno


@pytest.mark.parametrize(
    ("program", "phrase"),
    [
        (lambda x: x[3:], "may lie beyond the axis"),
        (lambda x: x[4], "out of range"),
        (lambda x: x[5:0:-1], "take the whole axis only"),
        (lambda x: x.sum() if x.shape[0] > 2 else x, "2"),
        (lambda x: tw.conv(x[None], np.ones((2, 3, 1), "f")), "channels and window must be static"),
        (lambda x: tw.max_pool(x.T[None], 2, stride=2, padding="same"), "needs static sizes"),
        (lambda x: tw.split(x, [2]), "may lie beyond"),
        (lambda x: x.shape[0] // 0, "by zero"),
        (lambda x: tw.zeros((x.shape[0].__index__(),)), "n"),
    ],
)
def test_what_an_unknown_size_does_not_allow(program, phrase):
    with pytest.raises(tw.TilewrightError) as info:
        tw.jit(program).trace(tw.spec((tw.Dim("n"), 4)))
    assert phrase in str(info.value) and info.value.loc.file == __file__


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (lambda: tw.Dim("two words"), "Python identifier"),
        (lambda: tw.Dim("n", min=5, max=4), "need 0 <= min <= max"),
        (lambda: tw.Dim("n", multiple_of=0), "multiple_of >= 1"),
        (lambda: tw.spec((1.5, 2)), "a size must be an int"),
    ],
)
def test_specs_of_no_meaning(make, phrase):
    with pytest.raises(tw.ArgumentError) as info:
        make()
    assert phrase in str(info.value)
