"""Mistakes in programs and calls. Each row: the error's class, its key phrase, and (for all) the user's line."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from mistakes import Table, check

table = Table()
F32 = tw.spec((4, 8), "float32")


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


# ---- shapes -------------------------------------------------------------------------------------------


@table.row(tw.ShapeError, "do not broadcast")
def add_of_shapes_that_do_not_broadcast():
    tw.jit(lambda a, b: a + b)(ones(3, 4), ones(3, 5))


@table.row(tw.ShapeError, "matmul")
def matmul_of_sizes_that_do_not_meet():
    tw.jit(lambda a, b: a @ b)(ones(3, 4), ones(5, 6))


@table.row(tw.ShapeError, "matmul")
def matmul_of_a_scalar():
    tw.jit(lambda a, b: tw.matmul(a, b))(ones(3, 4), ones())


@table.row(tw.ShapeError, "reshape")
def reshape_to_another_number_of_elements():
    tw.jit(lambda a: a.reshape(5, 5))(ones(4, 8))


@table.row(tw.ShapeError, "only one size may be -1")
def reshape_with_two_unknowns():
    tw.jit(lambda a: a.reshape(-1, -1))(ones(4, 8))


@table.row(tw.ShapeError, "out of range for rank 2")
def sum_over_an_axis_that_is_not_there():
    tw.jit(lambda a: a.sum(axis=2))(ones(4, 8))


@table.row(tw.ShapeError, "repeated")
def sum_over_an_axis_twice():
    tw.jit(lambda a: a.sum(axis=(0, 0)))(ones(4, 8))


@table.row(tw.ShapeError, "differ off axis")
def concat_of_different_rows():
    tw.jit(lambda a, b: tw.concat([a, b], axis=0))(ones(4, 8), ones(4, 9))


@table.row(tw.ShapeError, "no permutation")
def transpose_by_no_permutation():
    tw.jit(lambda a: tw.transpose(a, (0, 0)))(ones(4, 8))


@table.row(tw.ShapeError, "out of range for axis 0")
def index_beyond_a_static_axis():
    tw.jit(lambda a: a[9])(ones(4, 8))


@table.row(tw.ShapeError, "rank 2")
def too_many_indices():
    tw.jit(lambda a: a[0, 0, 0])(ones(4, 8))


@table.row(tw.ShapeError, "not 1")
def squeeze_of_an_axis_that_is_not_one():
    tw.jit(lambda a: tw.squeeze(a, axis=0))(ones(4, 8))


@table.row(tw.ShapeError, "rms_norm")
def norm_with_a_weight_of_another_size():
    tw.jit(lambda a, w: tw.rms_norm(a, w))(ones(4, 8), ones(7))


@table.row(tw.ShapeError, "attention")
def attention_heads_that_do_not_divide():
    tw.jit(lambda q, k, v: tw.attention(q, k, v))(ones(1, 5, 4, 8), ones(1, 2, 4, 8), ones(1, 2, 4, 8))


@table.row(tw.ShapeError, "conv")
def convolution_of_other_channels():
    tw.jit(lambda x, w: tw.conv(x, w))(ones(1, 3, 8, 8), ones(4, 2, 3, 3))


@table.row(tw.ShapeError, "do not broadcast")
def dynamic_sizes_that_may_differ():
    m, n = tw.Dim("m"), tw.Dim("n")
    tw.jit(lambda a, b: a + b).trace(tw.spec((m,), "float32"), tw.spec((n,), "float32"))


@table.row(tw.ShapeError, "is empty")
def argmax_of_nothing():
    tw.jit(lambda a: tw.argmax(a, axis=0))(ones(0, 8))


# ---- dtypes -------------------------------------------------------------------------------------------


@table.row(tw.DTypeError, "do not mix")
def int_plus_float():
    tw.jit(lambda a, b: a + b)(ones(4, dtype="int32"), ones(4))


@table.row(tw.DTypeError, "does not mix with int32")
def float_number_on_an_int_array():
    tw.jit(lambda a: a * 0.5)(ones(4, dtype="int32"))


@table.row(tw.DTypeError, "do not mix")
def bool_plus_float():
    tw.jit(lambda a, b: a + b)(ones(4, dtype="bool"), ones(4))


@table.row(tw.DTypeError, "do not mix")
def uint64_with_int64():
    tw.jit(lambda a, b: a + b)(ones(4, dtype="uint64"), ones(4, dtype="int64"))


@table.row(tw.DTypeError, "complex64")
def complex_input():
    tw.jit(lambda a: a + a)(ones(4, dtype="complex64"))


@table.row(tw.DTypeError, "expected")
def bitwise_operation_on_floats():
    tw.jit(lambda a: a & a)(ones(4))


@table.row(tw.DTypeError, "did you mean 'float32'")
def dtype_by_its_mlir_name():
    tw.spec((4,), "f32")


@table.row(tw.DTypeError, "where")
def where_on_a_number():
    tw.jit(lambda a: tw.where(a, a, a))(ones(4))


# ---- tracing ------------------------------------------------------------------------------------------


@table.row(tw.TracerError, "tw.cond")
def python_if_on_a_traced_value():
    def model(x):
        return x if x.sum() > 0 else -x

    tw.jit(model)(ones(4))


@table.row(tw.TracerError, "tw.while_loop")
def python_while_on_a_traced_value():
    def model(x):
        while x.sum() < 10:
            x = x + 1
        return x

    tw.jit(model)(ones(4))


@table.row(tw.TracerError, "float()")
def float_of_a_traced_value():
    tw.jit(lambda x: float(x.sum()))(ones(4))


@table.row(tw.TracerError, "int()")
def int_of_a_traced_value():
    tw.jit(lambda x: int(x.sum()))(ones(4))


@table.row(tw.TracerError, "Python index")
def range_over_a_traced_value():
    tw.jit(lambda x, n: [x for _ in range(n)])(ones(4), np.int64(3))


@table.row(tw.TracerError, "NumPy array")
def numpy_conversion_of_a_traced_value():
    tw.jit(lambda x: np.asarray(x))(ones(4))


@table.row(tw.TracerError, "in place")
def assignment_into_a_traced_value():
    def model(x):
        x[0] = 1.0
        return x

    tw.jit(model)(ones(4))


@table.row(tw.TracerError, "return it from the function")
def value_kept_after_its_trace():
    kept = []
    tw.jit(lambda x: kept.append(x) or x + 1)(ones(4))
    tw.jit(lambda x: x + kept[0])(ones(4))


@table.row(tw.TracerError, "item()")
def item_of_a_traced_value():
    tw.jit(lambda x: x.sum().item())(ones(4))


# ---- calls and signatures -----------------------------------------------------------------------------


@table.row(tw.ArgumentError, "missing")
def missing_argument():
    tw.jit(lambda a, b: a + b)(ones(4))


@table.row(tw.ArgumentError, "'c'")
def unknown_keyword():
    tw.jit(lambda a, b: a + b)(ones(4), ones(4), c=ones(4))


@table.row(tw.ArgumentError, "hash")
def static_argument_that_cannot_be_hashed():
    tw.jit(lambda a, sizes: a + sizes[0], static_argnums=1)(ones(4), [1, 2])


@table.row(tw.DTypeError, "str")
def string_as_an_array():
    tw.jit(lambda a: a)("text")


@table.row(tw.ShapeError, "compiled for")
def compiled_function_called_with_another_shape():
    compiled = tw.jit(lambda x: x + 1).lower(tw.spec((4, 8), "float32")).compile()
    compiled(ones(4, 9))


@table.row(tw.DTypeError, "compiled for")
def compiled_function_called_with_another_dtype():
    compiled = tw.jit(lambda x: x + 1).lower(tw.spec((4, 8), "float32")).compile()
    compiled(ones(4, 8, dtype="float64"))


@table.row(tw.ShapeError, "n")
def size_beyond_the_bound_of_a_dim():
    compiled = tw.jit(lambda x: x + 1).lower(tw.spec((tw.Dim("n", max=8),), "float32")).compile()
    compiled(ones(9))


@table.row(tw.ShapeError, "n")
def sizes_that_contradict_one_dim():
    n = tw.Dim("n")
    specs = tw.spec((n,), "float32"), tw.spec((n,), "float32")
    compiled = tw.jit(lambda a, b: a + b).lower(*specs).compile()
    compiled(ones(3), ones(4))


@table.row(tw.ArgumentError, "no target is called 'gpuu'")
def unknown_target():
    tw.jit(lambda x: x + 1, target="gpuu")(ones(4))


@table.row(tw.ShapeError, "negative")
def spec_with_a_negative_size():
    tw.spec((4, -2), "float32")


# ---- control flow -------------------------------------------------------------------------------------


@table.row(tw.ShapeError, "cond")
def branches_of_different_shape():
    tw.jit(lambda p, x: tw.cond(p, lambda v: v, lambda v: v[:2], x))(np.bool_(True), ones(4))


@table.row(tw.DTypeError, "cond")
def condition_that_is_no_bool():
    tw.jit(lambda p, x: tw.cond(p, lambda v: v, lambda v: -v, x))(ones(), ones(4))


@table.row(tw.ShapeError, "while_loop")
def loop_that_changes_its_shape():
    tw.jit(lambda x: tw.while_loop(lambda v: v.sum() < 9, lambda v: tw.concat([v, v]), x))(ones(4))


# ---- data at run time ---------------------------------------------------------------------------------


@table.row(tw.IndexRangeError, "out of range")
def index_out_of_range_at_run_time():
    tw.jit(lambda x, i: tw.take(x, i, axis=0, mode="raise"))(ones(4), np.array([1, 7]))


@pytest.mark.parametrize(("make", "cls", "phrase"), table.rows)
def test_mistake(make, cls, phrase):
    check(make, cls, phrase)
