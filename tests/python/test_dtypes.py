"""dtypes.py: the table, promotion against the array API and NumPy, limits against ml_dtypes."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from tilewright import dtypes
from tilewright.errors import DTypeError

INTEGERS = [d for d in dtypes.ALL if d.is_integer and not d.is_storage]
FLOATS = [d for d in dtypes.ALL if d.is_float]


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_row_agrees_with_the_array_object(dtype):
    array = np.zeros(3, dtype.numpy)
    assert array.dtype.name == dtype.name
    assert array.itemsize == dtype.itemsize
    assert dtypes.of(array) is dtype
    assert dtypes.of(array.dtype) is dtype
    assert dtypes.of(array.dtype.type) is dtype
    assert dtypes.of(array[0]) is dtype
    assert dtypes.by_name(dtype.name) is dtype
    assert dtypes.by_mlir(dtype.mlir) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype


def test_names_are_unique():
    assert len({d.name for d in dtypes.ALL}) == len(dtypes.ALL) == len({d.mlir for d in dtypes.ALL})


def test_numpy_accepts_a_row_as_dtype():
    assert np.zeros(2, dtypes.bfloat16).dtype == ml_dtypes.bfloat16
    assert np.dtype(dtypes.int32) == np.int32


def test_rows_compare_with_what_users_write():
    assert dtypes.float32 == "float32" and dtypes.float32 == np.float32
    assert dtypes.float32 == np.dtype("float32")
    assert dtypes.float32 != np.float64 and dtypes.float32 != "f32" and dtypes.float32 != 3
    assert len({dtypes.float32, dtypes.by_name("float32")}) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, "bool"), (3, "int64"), (2.5, "float32"), (bool, "bool"), (int, "int64"), (float, "float32")],
)
def test_of_python_numbers(value, expected):
    assert dtypes.of(value).name == expected


def test_of_foreign_dtype_objects_by_module():
    """A torch dtype is known by its text, so that torch need not be installed."""
    Dtype = type("dtype", (), {"__module__": "torch", "__str__": lambda self: "torch.bfloat16"})
    Tensor = type("Tensor", (), {"__module__": "torch", "dtype": Dtype()})
    assert dtypes.of(Dtype()) is dtypes.bfloat16
    assert dtypes.of(Tensor()) is dtypes.bfloat16


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        (np.complex64(1), "complex64 is not a supported dtype"),
        (np.dtype("U3"), "is not a supported dtype"),
        (np.array(["a"], object), "object is not a supported dtype"),
        (np.zeros(1, ">f4"), "newbyteorder"),
        (np.zeros(1, [("a", "f4")]), "is not a supported dtype"),
        (object(), "object is not a supported dtype"),
        (None, "NoneType is not a supported dtype"),
        (1j, "complex is not a supported dtype"),
        ("f32", "did you mean 'float32'?"),
        ("flaot32", "did you mean 'float32'?"),
        ("quaternion", "supported dtypes: bool, int4"),
    ],
)
def test_unknown_dtype_says_so(value, phrase):
    with pytest.raises(DTypeError) as info:
        dtypes.of(value)
    assert phrase in str(info.value)
    assert info.value.loc.file == __file__


@pytest.mark.parametrize(("a", "b"), list(itertools.product(INTEGERS, INTEGERS)), ids=str)
def test_integer_promotion_is_numpys_but_for_uint64(a, b):
    numpy = np.promote_types(a.numpy, b.numpy)
    if numpy.kind == "f":
        with pytest.raises(DTypeError, match="do not mix"):
            dtypes.promote(a, b)
    else:
        assert dtypes.promote(a, b).numpy == numpy


FLOAT_TABLE = {
    ("float16", "float32"): "float32",
    ("float16", "float64"): "float64",
    ("bfloat16", "float32"): "float32",
    ("bfloat16", "float64"): "float64",
    ("float32", "float64"): "float64",
}


@pytest.mark.parametrize(
    ("a", "b"), list(itertools.combinations(["float16", "bfloat16", "float32", "float64"], 2))
)
def test_float_promotion(a, b):
    expected = FLOAT_TABLE.get((a, b)) or FLOAT_TABLE.get((b, a))
    for pair in ((a, b), (b, a)):
        if expected is None:
            with pytest.raises(DTypeError, match="float32 holds both"):
                dtypes.promote(*pair)
        else:
            assert dtypes.promote(*pair).name == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [*itertools.product(INTEGERS, FLOATS), *((dtypes.bool_, d) for d in INTEGERS + FLOATS)]
    + [(dtypes.int4, dtypes.int8), (dtypes.uint4, dtypes.float32), (dtypes.int4, dtypes.uint4)],
    ids=str,
)
def test_undefined_mixes_are_errors(a, b):
    for pair in ((a, b), (b, a)):
        with pytest.raises(DTypeError, match="do not mix"):
            dtypes.promote(*pair)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_promotion_of_equal_types(dtype):
    assert dtypes.promote(dtype, dtype, dtype) is dtype


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("float16", 2), "float16"),
        (("bfloat16", 2.5), "bfloat16"),
        (("uint8", 255), "uint8"),
        (("int8", -128, "int16"), "int16"),
        (("bool", True), "bool"),
        ((1, 2.5), "float32"),
        ((1, True), "int64"),
        ((False,), "bool"),
        (("float64", 10**400), "float64"),
    ],
)
def test_python_numbers_are_weak(values, expected):
    assert dtypes.promote(*values).name == expected


@pytest.mark.parametrize(
    ("values", "phrase"),
    [
        (("uint8", 256), r"256 does not fit uint8 \[0, 255\]"),
        (("uint8", -1), "-1 does not fit uint8"),
        (("int32", 2.5), "Python float 2.5 does not mix with int32"),
        (("float32", True), "Python bool True does not mix with float32"),
        (("bool", 1), "Python int 1 does not mix with bool"),
        ((), "nothing to promote"),
    ],
)
def test_numbers_that_do_not_fit(values, phrase):
    with pytest.raises(DTypeError, match=phrase):
        dtypes.promote(*values)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_finfo_agrees_with_ml_dtypes(dtype):
    ours, theirs = dtypes.finfo(dtype), ml_dtypes.finfo(dtype.numpy)
    assert ours.bits == theirs.bits
    for field in ("eps", "max", "min", "smallest_normal", "smallest_subnormal"):
        assert getattr(ours, field) == float(getattr(theirs, field)), field


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d.is_integer], ids=str)
def test_iinfo_agrees_with_ml_dtypes(dtype):
    ours, theirs = dtypes.iinfo(dtype), ml_dtypes.iinfo(dtype.numpy)
    assert (ours.bits, ours.min, ours.max) == (dtype.bits, int(theirs.min), int(theirs.max))


def test_limits_of_the_wrong_kind():
    with pytest.raises(DTypeError, match="iinfo: float32 is not an integer type"):
        dtypes.iinfo("float32")
    with pytest.raises(DTypeError, match="finfo: bool is not a float type"):
        dtypes.finfo("bool")


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [
        ("bool", {"bool"}),
        ("int8", {"signed integer", "integral", "numeric"}),
        ("uint8", {"unsigned integer", "integral", "numeric"}),
        ("bfloat16", {"real floating", "numeric"}),
    ],
)
def test_isdtype(dtype, kinds):
    every = {
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
    }
    assert {kind for kind in every if dtypes.isdtype(dtype, kind)} == kinds
    assert dtypes.isdtype(dtype, dtype) and dtypes.isdtype(dtype, ("bool", "numeric"))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("int8", "int32"),
        ("uint8", "int32"),
        ("int64", "int64"),
    ],
)
def test_accumulator(dtype, expected):
    assert dtypes.accumulator(dtype).name == expected


def test_table_does_not_import_ml_dtypes():
    code = "import sys, tilewright as tw; tw.float32.numpy; print('ml_dtypes' in sys.modules)"
    env = {"PYTHONPATH": dtypes.__file__.rsplit("/", 2)[0]}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "False"
