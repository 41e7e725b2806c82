"""Arrays of other libraries: used in place, outputs of the same kind."""

from __future__ import annotations

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import _runtime, runtime
from tilewright.runtime import interop
from tilewright.runtime.array import Array

pytestmark = ro.needs_cc
A = np.arange(8, dtype="float32")


class Foreign:
    """An array of a library that nobody knows; `strict` ones follow version 0 of the protocol."""

    def __init__(self, array, *, strict=False, device=1):
        self.array, self.strict, self.device = array, strict, device

    def __dlpack__(self, **kwargs):
        if self.strict and kwargs:
            raise TypeError("unexpected keyword argument 'max_version'")
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return (self.device, 0)


@pytest.fixture
def add():
    return runtime.Executable(*ro.add_static())


@pytest.mark.parametrize("strict", [True, False])
def test_unknown_library(add, strict):
    result = add(Foreign(A, strict=strict), Foreign(A))
    assert type(result) is Array
    np.testing.assert_array_equal(result, A + A)


def test_mixed_kinds_give_our_array(add):
    assert type(add(A, Foreign(A))) is Array
    assert type(add(Array(A), Array(A))) is Array
    (result,) = add.call_tuple(A, Array(A))
    assert type(result) is Array


def test_dispatcher_with_other_kinds(add):
    call = runtime.Dispatcher(lambda args, kwargs: "miss")
    assert call.add((A, A), {}, add)
    np.testing.assert_array_equal(call(A, Foreign(A)), A + A)
    np.testing.assert_array_equal(call(Foreign(A), Foreign(A)), A + A)


def test_import_is_without_copy():
    view = _runtime.from_dlpack(Foreign(A))
    assert view.__array_interface__["data"] == A.__array_interface__["data"]
    assert np.shares_memory(interop.to_numpy(Foreign(A)), A)


def test_memory_outlives_its_owner(add):
    view = _runtime.from_dlpack(Foreign(A.copy()))
    np.testing.assert_array_equal(view, A)
    exported = _runtime.to_dlpack(A.copy())
    np.testing.assert_array_equal(_runtime.from_dlpack(exported), A)


@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed", "empty", "scalar"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint64", "bool", "bfloat16"])
def test_round_trip(order, dtype):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    base = (np.arange(24).reshape(4, 6) % 2).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    array = {
        "C": base,
        "F": np.asfortranarray(base),
        "strided": base[::2, 1::2],
        "reversed": base[::-1],
        "empty": base[:0],
        "scalar": base[0, 0, ...],
    }[order]
    again = _runtime.from_dlpack(_runtime.to_dlpack(array))
    assert again.dtype == array.dtype and again.shape == array.shape
    np.testing.assert_array_equal(again, array)
    if array.size:
        assert np.shares_memory(again, array)


def test_read_only_import():
    frozen = A.copy()
    frozen.flags.writeable = False
    assert not _runtime.from_dlpack(Foreign(frozen)).flags.writeable


def test_capsules_are_used_once():
    capsule = _runtime.to_dlpack(A)
    _runtime.from_dlpack(capsule)
    with pytest.raises(TypeError):
        _runtime.from_dlpack(capsule)


def test_what_is_no_array(add):
    with pytest.raises(BufferError):
        _runtime.to_dlpack(np.array(["text"]))
    with pytest.raises(TypeError):
        _runtime.to_dlpack([1, 2])
    with pytest.raises(AttributeError):
        _runtime.from_dlpack(3)

    class Broken:
        def __dlpack__(self, **_):
            raise BufferError("on another device")

    with pytest.raises(BufferError, match="another device"):
        add(A, Broken())


def test_complex_arrays(add):
    with pytest.raises((tw.DTypeError, TypeError)):
        add(A, Foreign(A.astype("complex64")))


def test_array_behaves_like_an_array():
    array = Array(np.arange(6, dtype="float32").reshape(2, 3))
    assert (array.shape, array.ndim, array.size, array.nbytes) == ((2, 3), 2, 6, 24)
    assert array.dtype is tw.float32 and array.device == "cpu" and len(array) == 2
    assert np.shares_memory(np.asarray(array), array.numpy())
    assert np.array(array, dtype="int64").dtype == np.int64
    assert not np.shares_memory(np.array(array, copy=True), array.numpy())
    with pytest.raises(ValueError, match="copy"):
        np.asarray(array, dtype="int64", copy=False)
    assert array[1].tolist() == [3.0, 4.0, 5.0]
    assert (
        float(array[0, 1]) == 1.0 and int(array[1, 2]) == 5 and bool(array[1, 2]) and array[0, 2].item() == 2
    )
    assert repr(array[0]) == "tilewright.Array([0., 1., 2.], dtype=float32)"
    assert "f32[2, 3]" in array._repr_html_()
    assert np.shares_memory(np.from_dlpack(array), array.numpy())
    assert range(10)[Array(np.array(3))] == 3
    np.testing.assert_array_equal(Array([1, 2]), [1, 2])


def test_torch(add):
    torch = pytest.importorskip("torch")
    x = torch.arange(8, dtype=torch.float32)
    result = add(x, x)
    assert isinstance(result, torch.Tensor)
    assert torch.equal(result, x + x)
    assert type(add(x, A)) is Array
    with pytest.raises(tw.ShapeError, match=r"called with f32\[4\]"):
        add(x, x[:4])


def test_torch_bfloat16_and_donation():
    torch = pytest.importorskip("torch")
    source = """int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {
      for (int i = 0; i < 4; ++i) ((uint16_t *)out[0].data)[i] = ((uint16_t *)in[0].data)[i] ^ 0x8000;
      return 0; }"""
    arguments = [ro.arg("x", [4], "bfloat16", donate=True)]
    negate = runtime.Executable(
        ro.compile_c(source), ro.manifest(arguments, [ro.out([4], "bfloat16", alias=0)])
    )
    x = torch.ones(4, dtype=torch.bfloat16)
    result = negate(x)
    assert result.dtype == torch.bfloat16 and result.data_ptr() == x.data_ptr()
    assert torch.equal(x, -torch.ones(4, dtype=torch.bfloat16))


def test_jax(add):
    jax = pytest.importorskip("jax")
    x = jax.numpy.arange(8, dtype="float32")
    result = add(x, x)
    assert isinstance(result, jax.Array)
    np.testing.assert_array_equal(result, A + A)
