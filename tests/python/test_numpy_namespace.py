"""`tw.numpy` and NumPy's own functions on traced values: the same meaning as on arrays."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tilewright as tw
from tilewright import numpy as tnp

A = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)).astype("f")
B = np.random.default_rng(1).uniform(0.1, 0.9, (3, 4)).astype("f")
I = np.int32([[5, 2, 3], [4, 1, 6]])
M = A > 0.5


def check(fn, *args, tolerance=2e-6):
    actual = tw.jit(fn, target="interp")(*args)
    expected = fn(*args)
    if isinstance(expected, (list, tuple)):
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    else:
        assert np.shape(actual) == np.shape(expected)
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


UNARY = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arctanh",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "negative",
    "positive",
    "absolute",
    "fabs",
    "sign",
    "square",
    "reciprocal",
    "isnan",
    "isinf",
    "isfinite",
]


@pytest.mark.parametrize("name", [n for n in UNARY if n != "fabs"])
def test_unary_ufuncs(name):
    check(getattr(np, name), A)


BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "true_divide",
    "floor_divide",
    "remainder",
    "mod",
    "power",
    "maximum",
    "minimum",
    "arctan2",
    "hypot",
    "copysign",
    "logaddexp",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
]


@pytest.mark.parametrize("name", BINARY)
def test_binary_ufuncs(name):
    check(getattr(np, name), A, B)
    check(lambda x: getattr(np, name)(x, np.float32(0.5)), A)
    check(lambda x: getattr(np, name)(B, x), A)


@pytest.mark.parametrize(
    "name", ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "invert"]
)
def test_bit_ufuncs(name):
    ufunc = getattr(np, name)
    check(ufunc, I) if ufunc.nin == 1 else check(lambda x: ufunc(x, np.int32(2)), I)


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor", "logical_not"])
def test_logical_ufuncs(name):
    ufunc = getattr(np, name)
    check(ufunc, M) if ufunc.nin == 1 else check(ufunc, M, ~M)


FUNCTIONS = {
    "sum": lambda x: np.sum(x, axis=1, keepdims=True),
    "prod": lambda x: np.prod(x),
    "mean": lambda x: np.mean(x, axis=0),
    "mean-of-bools": lambda x: np.mean(x > 0.5, axis=1) + (x > 0.5).mean(),
    "var": lambda x: np.var(x, axis=1, ddof=1),
    "std": lambda x: np.std(x),
    "max": lambda x: np.max(x, axis=(0, 1)),
    "amin": lambda x: np.amin(x, axis=-1),
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin": lambda x: np.argmin(x),
    "any": lambda x: np.any(x > 0.8, axis=0),
    "all": lambda x: np.all(x > 0),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumsum-flat": lambda x: np.cumsum(x),
    "count": lambda x: np.count_nonzero(x > 0.5, axis=0),
    "average": lambda x: np.average(x, axis=0),
    "ptp": lambda x: np.ptp(x, axis=0),
    "reshape": lambda x: np.reshape(x, (4, -1)),
    "ravel": lambda x: np.ravel(x),
    "transpose": lambda x: np.transpose(x),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "broadcast": lambda x: np.broadcast_to(x, (2, 3, 4)),
    "expand": lambda x: np.expand_dims(x, (0, 2)),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 1)),
    "concatenate": lambda x: np.concatenate([x, x * 2], axis=1),
    "stack": lambda x: np.stack([x, x], axis=-1),
    "vstack": lambda x: np.vstack([x, x]),
    "hstack": lambda x: np.hstack([x, x]),
    "split": lambda x: np.split(x, 2, axis=1),
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2))),
    "flip": lambda x: np.flip(x, 1),
    "roll": lambda x: np.roll(x, 2, axis=1),
    "roll-flat": lambda x: np.roll(x, -1),
    "tile": lambda x: np.tile(x, (2, 1, 3)),
    "repeat": lambda x: np.repeat(x, 3, axis=1),
    "tril": lambda x: np.tril(x, 1),
    "triu": lambda x: np.triu(x),
    "diff": lambda x: np.diff(x, axis=1),
    "where": lambda x: np.where(x > 0.5, x, 0.0),
    "clip": lambda x: np.clip(x, 0.2, 0.6),
    "round": lambda x: np.round(x, 1),
    "take": lambda x: np.take(x, np.array([2, 0]), axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argmax(x, axis=1)[:, None], axis=1),
    "matmul": lambda x: np.matmul(x, x.T),
    "dot": lambda x: np.dot(x, np.ones(4, "f")),
    "outer": lambda x: np.outer(x[0], x[1]),
    "tensordot": lambda x: np.tensordot(x, x, axes=([0, 1], [0, 1])),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "einsum-three": lambda x: np.einsum("ij,jk,kl->il", x, x.T, x),
    "einsum-sum": lambda x: np.einsum("ij->j", x),
    "einsum-outer": lambda x: np.einsum("i,j->ij", x[0], x[1]),
    "einsum-dots": lambda x: np.einsum("...j,jk->...k", x, x.T),
    "norm": lambda x: np.linalg.norm(x),
    "nan_to_num": lambda x: np.nan_to_num(np.where(x > 0.5, np.float32(np.nan), x)),
    "zeros_like": lambda x: np.zeros_like(x) + np.ones_like(x) + np.full_like(x, 3),
    "signbit": lambda x: np.signbit(x - 0.5),
    "methods": lambda x: x.sum(0) + x.mean(axis=0) + x.max(0).astype("float32") + x.T.reshape(4, 3).std(axis=1),
    "reduce": lambda x: np.add.reduce(x, axis=1) + np.maximum.reduce(x, axis=1),
    "meshgrid": lambda x: np.meshgrid(x[0], x[:, 1]),
    "isclose": lambda x: np.isclose(np.where(x > 0.5, np.float32(np.inf), x), np.where(x > 0.6, np.float32(np.inf), x * 1.000001)),
    "isclose-nan": lambda x: np.isclose(np.where(x > 0.5, np.float32(np.nan), x), np.where(x > 0.6, np.float32(np.nan), x), equal_nan=True),
    "isclose-inf": lambda x: np.isclose(x, np.where(x > 0.5, np.float32(np.inf), x)),
    "allclose": lambda x: np.allclose(x, x * 1.01),
    "array_equal": lambda x: np.array_equal(x, x * 1.0),
    "array_equal-shapes": lambda x: np.array_equal(x, x[:2]),
    "nansum": lambda x: np.nansum(np.where(x > 0.5, np.float32(np.nan), x), axis=1),
    "nanmean": lambda x: np.nanmean(np.where(x > 0.5, np.float32(np.nan), x)),
    "nanmax": lambda x: np.nanmax(np.where(x > 0.5, np.float32(np.nan), x)),
    "nanmin": lambda x: np.nanmin(np.where(x > 0.5, np.float32(np.nan), x), keepdims=True),
    "select": lambda x: np.select([x < 0.3, x < 0.6], [x, x * 2], 7.0),
    "diagonal": lambda x: np.linalg.diagonal(x),
    "diagonal-above": lambda x: np.linalg.diagonal(np.stack([x, x * 2]), offset=2),
    "diagonal-below": lambda x: np.linalg.diagonal(x, offset=-2),
    "diagonal-none": lambda x: np.linalg.diagonal(x, offset=9),
    "diagonal-axes": lambda x: np.diagonal(np.stack([x, x * 2]), 1, 2, 0),
    "diagonal-first": lambda x: np.diagonal(np.stack([x, x * 2, x * 3])),
    "trace-axes": lambda x: np.trace(np.stack([x, x * 2, x * 3])),
    "trace": lambda x: np.trace(x) + np.linalg.trace(x, offset=1),
    "cross": lambda x: np.cross(x[:, :3], x[1, 1:]) + np.linalg.cross(x[:, :3], x[:, 1:]),
    "operators": lambda x: (x**2 + x**0.5 - 1 / x) // 0.5 % 3 * (x @ x.T)[:, :1] + -x + abs(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_functions(name):
    check(FUNCTIONS[name], A)


def test_the_namespace_is_that_of_traced_values():
    seen = []
    tw.jit(lambda x: seen.append(x.__array_namespace__()) or x, target="interp")(A)
    assert seen == [tnp]


STANDARD = [
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "ceil",
    "clip",
    "concat",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "divide",
    "e",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "finfo",
    "flip",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "greater",
    "greater_equal",
    "hypot",
    "iinfo",
    "inf",
    "int16",
    "int32",
    "int64",
    "int8",
    "isdtype",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "nan",
    "negative",
    "newaxis",
    "not_equal",
    "ones",
    "ones_like",
    "permute_dims",
    "pi",
    "positive",
    "pow",
    "prod",
    "reciprocal",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "roll",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "tril",
    "triu",
    "trunc",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
    "bool",
]


@pytest.mark.parametrize("name", STANDARD)
def test_the_namespace_has_the_standards_names(name):
    assert hasattr(tnp, name)


def test_functions_compute_on_arrays_at_once():
    np.testing.assert_allclose(tw.softmax(A).sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(tnp.arange(2, 8, 2), [2, 4, 6])
    np.testing.assert_array_equal(tnp.eye(2, 3, k=1), np.eye(2, 3, k=1))
    np.testing.assert_array_equal(tnp.linspace(0.0, 1.0, 5), np.linspace(0, 1, 5, dtype="f"))
    assert tnp.asarray([1.5, 2]).dtype == np.float32 and tnp.asarray([1, 2]).dtype == np.int64
    assert tnp.result_type("int8", "uint8") == "int16" and not tnp.can_cast("float64", "float32")


def test_errors_outside_of_traces_have_no_frames_of_ours():
    import traceback

    with pytest.raises(tw.ShapeError) as info:
        tw.matmul(A, B)
    assert {f.filename for f in traceback.extract_tb(info.value.__traceback__)} == {__file__}


def test_top_level_names_are_those_of_ops():
    import tilewright
    from tilewright import ops

    functions = {n for n in vars(ops) if callable(getattr(ops, n)) and not n.startswith("_")}
    assert functions == set(tilewright._OPS)


@pytest.mark.parametrize("name", sorted(__import__("tilewright")._OPS))
def test_every_function_is_documented_with_an_example_that_runs(name):
    import doctest

    fn = getattr(tw, name)
    doc = fn.__doc__
    assert doc and doc[0].isupper() and "Example" in doc, name
    if name != "QuantizedTensor":
        assert len(inspect.cleandoc(doc).splitlines()) > 4  # Python 3.13 cleans docstrings itself
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(recurse=False).find(fn, name, globs={"tw": tw, "np": np}):
        assert test.examples
        runner.run(test, out=lambda text: None)
        assert runner.failures == 0, name
