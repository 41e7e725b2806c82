"""Binding weights: in place, packed once, shared, checked."""

from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import runtime
from tilewright.runtime import weights

pytestmark = ro.needs_cc

# x * packed(w) + b; packing multiplies by ten and counts its runs in the second element block.
SOURCE = """
static int runs;
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  for (int64_t i = 0; i < 4; ++i)
    ((float *)out[0].data)[i] = ((float *)in[0].data)[i] * ((float *)in[1].data)[i] + ((float *)in[2].data)[i];
  return 0;
}
int32_t tw_load_0(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  for (int64_t i = 0; i < 4; ++i) ((float *)out[0].data)[i] = 10 * ((float *)in[0].data)[i];
  return scratch ? 0 : 5;
}
int32_t tw_load_0_shapes(const TwArg *in, int64_t *out) { out[0] = in[0].dims[0]; out[1] = 128; return 0; }
"""


def make(key="k", **load_changes):
    args = [
        ro.arg("x", [4]),
        ro.arg("packed", [4], kind="weight", weight="w", packed_by=0, sources=["w"]),
        ro.arg("b", [4], kind="weight", weight="b"),
    ]
    load = {
        "entry": "tw_load_0",
        "shapes": "tw_load_0_shapes",
        "key": key,
        "args": [ro.arg("w", [4])],
        "output": ro.out([4]),
        **load_changes,
    }
    return runtime.Executable(ro.compile_c(SOURCE), ro.manifest(args, [ro.out([4])], loads=[load]))


@pytest.fixture
def arrays():
    return {"w": np.arange(4, dtype="float32"), "b": np.ones(4, "float32"), "unused": np.zeros(1)}


X = np.full(4, 2, "float32")


def test_bound_program_takes_the_other_inputs(arrays):
    executable = make()
    assert weights.weight_names(executable) == ["w", "b"]
    bound = executable.bind(arrays)
    np.testing.assert_array_equal(bound(X), X * 10 * arrays["w"] + 1)
    assert weights.weight_names(bound) == []
    assert "1 inputs, 2 weights" in repr(bound)


def test_unpacked_weight_is_used_in_place(arrays):
    bound = make().bind(arrays)
    assert bound.bound_arrays()[2] is arrays["b"]
    arrays["b"][:] = 5
    np.testing.assert_array_equal(bound(X), X * 10 * arrays["w"] + 5)


def test_packed_weights_are_shared(arrays):
    prefill, decode = make().bind(arrays), make().bind(arrays)
    assert prefill.bound_arrays()[1] is decode.bound_arrays()[1]
    view = {**arrays, "w": arrays["w"][:]}
    assert make().bind(view).bound_arrays()[1] is prefill.bound_arrays()[1]
    other = make(key="other").bind(arrays)
    assert other.bound_arrays()[1] is not prefill.bound_arrays()[1]


def test_packed_weights_die_with_their_users(arrays):
    before = weights.packed_count()
    bound = make().bind(arrays)
    assert weights.packed_count() == before + 1
    del bound
    gc.collect()
    assert weights.packed_count() == before


def test_packed_weights_lie_beside_each_other():
    """Those of a few hundred kilobytes are cut from slabs of huge pages; dropping some leaves the others alone."""
    size = 50_000
    source = SOURCE.replace("i < 4", "i < in[0].dims[0]")
    args = [
        ro.arg("x", [size]),
        ro.arg("packed", [size], kind="weight", weight="w", packed_by=0, sources=["w"]),
        ro.arg("b", [size], kind="weight", weight="b"),
    ]
    load = {
        "entry": "tw_load_0", "shapes": "tw_load_0_shapes", "key": "slabs", "args": [ro.arg("w", [size])],
        "output": ro.out([size]),
    }  # fmt: skip
    executable = runtime.Executable(ro.compile_c(source), ro.manifest(args, [ro.out([size])], loads=[load]))
    zeros, ones = np.zeros(size, "float32"), np.ones(size, "float32")
    bound = [executable.bind({"w": np.full(size, i, "float32"), "b": zeros}) for i in range(200)]
    places = sorted(b.bound_arrays()[1].__array_interface__["data"][0] for b in bound)
    assert all(place % 4096 == 0 for place in places)
    near = [b - a < size * 4 + 4096 for a, b in itertools.pairwise(places)]
    assert near.count(False) <= 3, "40 MB need two slabs, and one may have been open"
    del bound[1::2]
    gc.collect()
    bound += [executable.bind({"w": np.full(size, -1, "float32"), "b": zeros}) for _ in range(5)]
    expected = [*range(0, 200, 2), *[-1] * 5]
    assert all(np.all(b(ones) == 10 * value) for b, value in zip(bound, expected, strict=True))


def test_new_memory_at_an_old_address_is_packed_anew():
    # The store must not answer for an array that is gone, wherever the next one lies.
    keep = []
    for i in range(20):
        w = np.full(4, i, "float32")
        bound = make().bind({"w": w, "b": np.zeros(4, "float32")})
        keep.append(bound)
        np.testing.assert_array_equal(bound(X), X * 10 * i)
        del w


def test_weights_are_kept_alive(arrays):
    bound = make().bind({name: array.copy() for name, array in arrays.items()})
    gc.collect()
    np.testing.assert_array_equal(bound(X), X * 10 * arrays["w"] + 1)


def test_strided_weights(arrays):
    wide = {name: np.repeat(arrays[name], 2)[::2] for name in ("w", "b")}
    np.testing.assert_array_equal(make().bind(wide)(X), X * 10 * arrays["w"] + 1)


def test_mapped_weights(arrays, tmp_path):
    arrays["w"].tofile(tmp_path / "w")
    mapped = np.memmap(tmp_path / "w", "float32", "r")
    first, second = (make().bind({**arrays, "w": mapped}) for _ in range(2))
    assert first.bound_arrays()[1] is second.bound_arrays()[1]
    np.testing.assert_array_equal(first(X), X * 10 * arrays["w"] + 1)


@pytest.mark.parametrize(
    ("change", "error", "phrase"),
    [
        (
            {"w": np.zeros(5, "float32")},
            tw.ShapeError,
            r"weight 'w' compiled for f32\[4\], bound to f32\[5\]",
        ),
        ({"w": np.zeros(4)}, tw.DTypeError, r"weight 'w' .*bound to f64\[4\]"),
        ({"b": np.zeros((4, 1), "float32")}, tw.ShapeError, r"weight 'b' .*f32\[4,1\]"),
        ({"b": np.zeros(4, "int32")}, tw.DTypeError, "weight 'b'"),
    ],
)
def test_wrong_weights(arrays, change, error, phrase):
    with pytest.raises(error, match=phrase) as caught:
        make().bind({**arrays, **change})
    assert caught.value.loc.file == __file__


def test_missing_weights(arrays):
    with pytest.raises(tw.ArgumentError, match="missing weights 'w'"):
        make().bind({"b": arrays["b"]})
    with pytest.raises(tw.ArgumentError, match="missing weights 'w', 'b'"):
        make().bind({})


def test_load_entry_checks_its_sources(arrays):
    executable = make()
    with pytest.raises(tw.ShapeError, match="weight 'w'"):
        executable.run_load(0, [np.zeros(5, "float32")])
    with pytest.raises(IndexError):
        executable.run_load(1, [arrays["w"]])
    with pytest.raises(ValueError, match="number of sources"):
        executable.run_load(0, [])
    with pytest.raises(TypeError):
        executable.run_load(0, [None])


def test_bind_arrays_checks(arrays):
    with pytest.raises(tw.ShapeError):
        make().bind_arrays({2: np.zeros(3, "float32")})
    with pytest.raises(tw.ArgumentError):
        make().bind_arrays({2: [1, 2]})
    with pytest.raises(IndexError):
        make().bind_arrays({9: arrays["b"]})


def test_an_input_can_be_bound_as_well(arrays):
    bound = make().bind(arrays).bind_arrays({0: X})
    np.testing.assert_array_equal(bound(), X * 10 * arrays["w"] + 1)


class OnDemand(dict):
    """Makes each array anew when it is asked for, and counts."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.asked = []

    def __getitem__(self, name):
        self.asked.append(name)
        return super().__getitem__(name).copy()


def test_several_programs_are_bound_weight_by_weight(arrays):
    source = OnDemand(arrays)
    first, second = weights.bind_all([make(), make()], source)
    assert source.asked == ["w", "b"], "each weight is made once for all programs"
    assert first.bound_arrays()[1] is second.bound_arrays()[1], "and packed once"
    np.testing.assert_array_equal(first(X), second(X))
    np.testing.assert_array_equal(first(X), X * 10 * arrays["w"] + 1)


def test_binding_several_programs_names_what_is_missing(arrays):
    with pytest.raises(tw.ArgumentError, match="missing weights 'w'"):
        weights.bind_all([make(), make()], {"b": arrays["b"]})
