"""Calling linked objects: results, signatures, aliases, errors."""

from __future__ import annotations

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import runtime

pytestmark = ro.needs_cc


@pytest.fixture
def add():
    return runtime.Executable(*ro.add_static())


@pytest.fixture
def dynamic():
    return runtime.Executable(*ro.add_dynamic(min=1, max=64, multiple_of=2))


A = np.arange(8, dtype="float32")


def test_call_returns_new_array(add):
    result = add(A, A)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, A + A)


def test_call_by_name(add):
    np.testing.assert_array_equal(add(b=A, a=A), A + A)
    np.testing.assert_array_equal(add(A, b=A), A + A)


def test_call_tuple(add):
    assert isinstance(add.call_tuple(A, A), tuple)


def test_strided_input_is_copied(add):
    wide = np.arange(16, dtype="float32")
    np.testing.assert_array_equal(add(wide[::2], wide[::-2]), wide[::2] + wide[::-2])


def test_misaligned_input_is_copied(add):
    raw = np.zeros(33, "uint8")
    odd = raw[1:].view("float32")
    odd[:] = A
    assert not odd.flags.aligned
    np.testing.assert_array_equal(add(odd, A), A + A)


def test_array_subclass(add, tmp_path):
    mapped = np.memmap(tmp_path / "x", "float32", "w+", shape=(8,))
    mapped[:] = A
    np.testing.assert_array_equal(add(mapped, A), A + A)


@pytest.mark.parametrize("size", [2, 4, 64])
def test_dynamic_sizes(dynamic, size):
    x = np.ones(size, "float32")
    assert dynamic(x, x).shape == (size,)


@pytest.mark.parametrize(
    ("args", "error", "phrase"),
    [
        ((A, A[:4]), tw.ShapeError, r"argument 'b' compiled for f32\[8\], called with f32\[4\]"),
        ((A[:3], A[:4]), tw.ShapeError, r"'a' compiled for f32\[8\], called with f32\[3\]\n.*'b' compiled"),
        ((A, A.astype("float64")), tw.DTypeError, r"called with f64\[8\]"),
        ((A, A.astype(">f4")), tw.DTypeError, "foreign byte order"),
        ((A, A.reshape(2, 4)), tw.ShapeError, r"called with f32\[2,4\]"),
        ((A,), tw.ArgumentError, r"missing 'b' f32\[8\]"),
        ((A, A, A), tw.ArgumentError, "3 arguments for a program of 2"),
        ((A, [1.0] * 8), tw.ArgumentError, "called with a list"),
        ((A, None), tw.ArgumentError, "called with None"),
        ((A, 3.0), tw.ShapeError, r"a Python float \(3.0\)"),
    ],
)
def test_wrong_arguments(add, args, error, phrase):
    with pytest.raises(error, match=f"(?s){phrase}") as caught:
        add(*args)
    assert caught.value.loc.file == __file__
    assert caught.traceback[-1].path.name == "test_runtime_call.py"


@pytest.mark.parametrize(
    ("kwargs", "phrase"),
    [({"c": A}, "no argument 'c'"), ({"a": A, "b": A}, "given twice")],
)
def test_wrong_names(add, kwargs, phrase):
    with pytest.raises(tw.ArgumentError, match=phrase):
        add(A, **kwargs)


@pytest.mark.parametrize(
    ("n", "m", "phrase"),
    [
        (4, 6, r"dim 'n' is 4 \(axis 0 of 'a'\) and 6 \(axis 0\)"),
        (66, 66, "from 1 to 64"),
        (0, 0, "from 1 to 64"),
        (3, 3, "multiple of 2"),
    ],
)
def test_symbol_rules(dynamic, n, m, phrase):
    with pytest.raises(tw.ShapeError, match=phrase):
        dynamic(np.zeros(n, "float32"), np.zeros(m, "float32"))


AXPY = """
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  float s = *(const float *)in[1].data;
  const float *x = in[0].data, *y = in[2].data;
  float *z = out[0].data;
  for (int64_t i = 0; i < in[0].dims[0] * in[0].dims[1]; ++i) z[i] = s * x[i] + y[i];
  return 0;
}
"""


def axpy(**more):
    args = [ro.arg("x", [2, 3], **more), ro.arg("s", []), ro.arg("y", [2, 3])]
    return runtime.Executable(
        ro.compile_c(AXPY), ro.manifest(args, [ro.out([2, 3], alias=0 if more else None)])
    )


@pytest.mark.parametrize("scalar", [2.0, 2, np.float32(2), np.array(2, "float32")])
def test_scalar_arguments(scalar):
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(axpy()(x, scalar, x), 3 * x)


@pytest.mark.parametrize("scalar", [True, 2j, "2", np.float64(2)])
def test_scalar_of_wrong_type(scalar):
    x = np.ones((2, 3), "float32")
    with pytest.raises((tw.DTypeError, tw.ArgumentError), match="'s'"):
        axpy()(x, scalar, x)


def test_donated_input_becomes_the_output():
    x, y = np.ones((2, 3), "float32"), np.ones((2, 3), "float32")
    result = axpy(donate=True)(x, 2.0, y)
    assert result is x
    np.testing.assert_array_equal(x, 3 * y)


def test_donated_input_passed_twice_is_read_unchanged():
    x = np.arange(12, dtype="float32").reshape(2, 6)[:, :3].copy()
    expected = 3 * x
    assert axpy(donate=True)(x, 2.0, x) is x
    np.testing.assert_array_equal(x, expected)


def test_donated_inputs_must_not_overlap():
    x = np.zeros(12, "float32")
    args = [ro.arg("a", [8], donate=True), ro.arg("b", [8], donate=True)]
    code = "int32_t tw_main(const TwRt *r, const TwArg *i, const TwArg *o, void *s) { return 0; }"
    swap = runtime.Executable(
        ro.compile_c(code), ro.manifest(args, [ro.out([8], alias=0), ro.out([8], alias=1)])
    )
    first, second = swap(x[:8], np.zeros(8, "float32"))
    assert first.base is x and second.base is None
    with pytest.raises(tw.ArgumentError, match="share memory"):
        swap(x[:8], x[4:])


@pytest.mark.parametrize("flaw", ["read-only", "strided"])
def test_donated_input_must_be_writable_and_dense(flaw):
    x = np.ones((2, 6), "float32")[:, ::2] if flaw == "strided" else np.ones((2, 3), "float32")
    if flaw == "read-only":
        x.flags.writeable = False
    with pytest.raises(tw.ArgumentError, match="donated, so it must be"):
        axpy(donate=True)(x, 2.0, np.ones((2, 3), "float32"))


FAILS = """
static void body(void *ctx, int64_t begin, int64_t end) {
  const TwRt *rt = ctx;
  for (int64_t i = begin; i < end; ++i) if (i == 77) rt->error(rt, 1, 1);
}
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  rt->parallel_for(rt, body, (void *)rt, *(const int64_t *)in[0].data);
  return 0;
}
"""


def test_run_time_failure_points_at_the_users_line():
    places = [{}, {"file": "model.py", "line": 41, "column": 9, "function": "block", "text": "return x[i]"}]
    fails = runtime.Executable(
        ro.compile_c(FAILS), ro.manifest([ro.arg("n", [], "int64")], [ro.out([4])], locations=places)
    )
    assert fails(10).shape == (4,)
    with pytest.raises(IndexError, match=r"model\.py:41:9   in block") as caught:
        fails(100)
    assert isinstance(caught.value, tw.IndexRangeError)
    assert caught.traceback[-1].path.name == "test_runtime_call.py"


@pytest.mark.parametrize(
    ("status", "error"), [(2, tw.CheckError), (3, tw.ShapeError), (4, MemoryError), (99, tw.InternalError)]
)
def test_status_without_location(status, error):
    code = "int32_t tw_main(const TwRt *r, const TwArg *i, const TwArg *o, void *s) { return %d; }"
    with pytest.raises(error):
        runtime.Executable(ro.compile_c(code % status), ro.manifest([], []))()


SCRATCH = """
int32_t tw_shapes(const TwArg *in, int64_t *out) { out[0] = *(int64_t[]){in[0].dims[0]} * 1000; return 0; }
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  char *first = scratch, *more = rt->scratch_push(rt, 5), *most = rt->scratch_push(rt, 1 << 20);
  memset(first, 1, in[0].dims[0] * 1000);
  *(int64_t *)out[0].data = ((uint64_t)first | (uint64_t)more | (uint64_t)most) % 64;
  most[0] = most[(1 << 20) - 1] = more[4] = 7;
  rt->scratch_pop(rt, most);
  rt->scratch_pop(rt, more);
  return 0;
}
"""


def test_scratch_memory_is_aligned_and_grows():
    source = "#include <string.h>\n" + SCRATCH
    run = runtime.Executable(
        ro.compile_c(source),
        ro.manifest([ro.arg("x", [None], "uint8")], [ro.out([], "int64")], shapes="tw_shapes"),
    )
    for size in [1, 100, 20_000, 3, 0, *[1] * 600, 5000]:
        assert run(np.zeros(size, "uint8")) == 0


def test_scratch_that_cannot_be_had():
    source = (
        "int32_t tw_shapes(const TwArg *in, int64_t *out) { out[0] = 1ll << 60; return 0; }"
        + ro.ADD.replace("tw_shapes", "unused")
    )
    run = runtime.Executable(ro.compile_c(source), ro.manifest([], [], shapes="tw_shapes"))
    with pytest.raises(MemoryError):
        run()


def test_empty_arrays():
    add = runtime.Executable(*ro.add_dynamic())
    assert add(np.zeros(0, "float32"), np.zeros(0, "float32")).shape == (0,)


def test_many_arguments_and_outputs():
    count = 200
    source = """int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {
      for (int i = 0; i < 200; ++i) *(int32_t *)out[i].data = *(int32_t *)in[199 - i].data;
      return 0; }"""
    args = [ro.arg(f"x{i}", [], "int32") for i in range(count)]
    run = runtime.Executable(ro.compile_c(source), ro.manifest(args, [ro.out([], "int32")] * count))
    results = run(*(np.array(i, "int32") for i in range(count)))
    assert [int(x) for x in results] == list(range(count))[::-1]


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    source = """int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {
      for (int i = 0; i < 4; ++i) ((uint16_t *)out[0].data)[i] = ((uint16_t *)in[0].data)[i] ^ 0x8000;
      return 0; }"""
    negate = runtime.Executable(
        ro.compile_c(source), ro.manifest([ro.arg("x", [4], "bfloat16")], [ro.out([4], "bfloat16")])
    )
    x = np.arange(4).astype(ml_dtypes.bfloat16)
    assert negate(x).dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(negate(x).astype("float32"), -np.arange(4, dtype="float32"))


def test_no_outputs_gives_an_empty_tuple():
    code = "int32_t tw_main(const TwRt *r, const TwArg *i, const TwArg *o, void *s) { return 0; }"
    assert runtime.Executable(ro.compile_c(code), ro.manifest([], []))() == ()
