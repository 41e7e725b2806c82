"""`precision=`: what factors of float32 products may be rounded to, where it is asked for, and what it says in the IR."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tilewright as tw
from tilewright import cache
from tilewright.programs import key_components
from tilewright.targets import base

A, B = np.linspace(-1, 1, 12, dtype="f").reshape(3, 4), np.linspace(0, 3, 20, dtype="f").reshape(4, 5)
X, W = np.ones((1, 2, 8), "f"), np.ones((4, 2, 3), "f")

#: Every function that multiplies and adds up.
PRODUCTS = {
    "matmul": lambda **p: tw.matmul(A, B, **p),
    "matmul of vectors": lambda **p: tw.matmul(A[0], np.ones((2, 4, 5), "f"), **p),
    "dot": lambda **p: tw.dot(A, B, **p),
    "vecdot": lambda **p: tw.vecdot(A, A, **p),
    "tensordot": lambda **p: tw.tensordot(A, B, axes=1, **p),
    "einsum": lambda **p: tw.einsum("ij,jk->ki", A, B, **p),
    "linear": lambda **p: tw.linear(A, B.T, np.ones(5, "f"), **p),
    "dot_general": lambda **p: tw.dot_general(A, B, lhs_contract=(1,), rhs_contract=(0,), **p),
    "conv": lambda **p: tw.conv(X, W, padding=1, **p),
}


def text_of(fn, *args, **options) -> str:
    """The traced IR of a call."""
    return tw.jit(fn, **options).trace(*args).as_text()


@pytest.mark.parametrize("name", PRODUCTS)
def test_it_stands_in_the_ir_and_means_float32_on_a_cpu(name):
    product = PRODUCTS[name]
    assert "precision" not in text_of(product) + text_of(lambda: product(precision="highest"))
    assert text_of(lambda: product(precision="tf32")).count('precision = "tf32"') == 1
    expected = np.asarray(tw.jit(product)())
    assert np.array_equal(np.asarray(tw.jit(lambda: product(precision="tf32"))()), expected)
    assert np.array_equal(np.asarray(tw.jit(product, precision="tf32")()), expected)
    # At once, without a trace around it.
    assert np.allclose(np.asarray(product(precision="tf32")), expected)


def test_a_cpu_computes_the_same_bits():
    rng = np.random.default_rng(7)
    a, b, c = (rng.standard_normal(shape).astype("f") for shape in ((70, 131), (131, 90), (90,)))
    results = [
        np.asarray(tw.jit(lambda a, b, c: tw.tanh(a @ b + c), precision=p)(a, b, c)) for p in (None, "tf32")
    ]
    assert np.array_equal(*results)


def test_jit_asks_for_all_products_that_name_none():
    def both(a, b):
        return tw.matmul(a, b) + tw.matmul(a, b, precision="highest") + np.matmul(a, b) + a @ b

    assert "precision" not in text_of(both, A, B)
    assert text_of(both, A, B, precision="tf32").count("precision") == 3


def test_functions_inside_keep_their_own():
    inner = tw.jit(lambda a, b: a @ b, precision="tf32")
    plain = tw.jit(lambda a, b: a @ b)
    strict = tw.jit(lambda a, b: a @ b, precision="highest")
    assert text_of(lambda a, b: inner(a, b) + a @ b, A, B).count("precision") == 1
    three = text_of(lambda a, b: inner(a, b) + plain(a, b) + strict(a, b), A, B, precision="tf32")
    assert three.count("precision") == 2
    branch = text_of(lambda a, b: tw.cond(a[0, 0] > 0, lambda: a @ b, lambda: b[:3]), A, B, precision="tf32")
    assert "precision" in branch


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32"])
def test_other_dtypes_are_not_concerned(dtype):
    spec = tw.spec((4, 4), dtype)
    assert "precision" not in text_of(lambda a: tw.matmul(a, a, precision="tf32"), spec)


def test_a_wider_result_is_not_rounded():
    def wide(a, b):
        return tw.dot_general(a, b, lhs_contract=(1,), rhs_contract=(0,), dtype="float64", precision="tf32")

    assert "precision" not in text_of(wide, A, B)


@pytest.mark.parametrize("name", PRODUCTS)
def test_others_do_not_exist(name):
    with pytest.raises(tw.ArgumentError, match="precision='tf16' does not exist") as caught:
        tw.jit(lambda: PRODUCTS[name](precision="tf16"))()
    assert "test_precision.py" in str(caught.value) and "tensor cores" in str(caught.value)


def test_jit_refuses_others():
    line = inspect.currentframe().f_lineno + 2
    with pytest.raises(tw.ArgumentError, match="jit: precision=1 does not exist") as caught:
        tw.jit(lambda a: a, precision=1)
    assert f"test_precision.py:{line}" in str(caught.value) and "tensor cores" in str(caught.value)


def test_it_is_part_of_the_program():
    """Two keys of the cache, since these are made of the IR."""
    lowered = [tw.jit(lambda a, b: a @ b, precision=p).lower(A, B) for p in (None, "highest", "tf32")]
    plain, highest, rounded = (
        cache.key_of(key_components(x.program, base.find("cpu"), "cpu")) for x in lowered
    )
    assert plain == highest != rounded
