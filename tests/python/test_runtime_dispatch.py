"""The dispatcher behind `jit`: what it recognises, what it leaves to Python."""

from __future__ import annotations

import functools
import gc
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import runtime

pytestmark = ro.needs_cc

A, B = np.arange(8, dtype="float32"), np.ones(8, "float32")


class Recorder:
    def __init__(self, answer="miss"):
        self.calls = []
        self.answer = answer

    def __call__(self, args, kwargs):
        self.calls.append((args, kwargs))
        return self.answer


@pytest.fixture
def add():
    return runtime.Executable(*ro.add_static())


def test_miss_then_hit(add):
    miss = Recorder()
    call = runtime.Dispatcher(miss)
    assert call(A, b=B) == "miss" and miss.calls[0][0][0] is A and miss.calls[0][1] == {"b": B}
    assert call.add((A, B), {}, add)
    np.testing.assert_array_equal(call(A, B), A + B)
    assert call.hits == 1 and len(miss.calls) == 1


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((A,), {}),
        ((A, B, A), {}),
        ((A, B[:4]), {}),
        ((A, B.astype("float64")), {}),
        ((A, 1.0), {}),
        ((A, None), {}),
        ((A,), {"b": B}),
        (([A, B],), {}),
        (((A, B),), {}),
        (({"a": A, "b": B},), {}),
        ((A, object()), {}),
        (("text", A, B), {}),
    ],
)
def test_other_signatures_miss(add, args, kwargs):
    call = runtime.Dispatcher(Recorder())
    call.add((A, B), {}, add)
    assert call(*args, **kwargs) == "miss"


STRUCTURES = [
    (((A, B),), {}),
    (([A, B],), {}),
    (({"a": A, "b": B},), {}),
    (({"x": [A, None], "y": ((B,),)},), {}),
    ((A,), {"b": B}),
    ((), {"a": A, "b": B}),
    ((None, A, B), {}),
]


@pytest.mark.parametrize("case", range(len(STRUCTURES)))
def test_structures(add, case):
    args, kwargs = STRUCTURES[case]
    call = runtime.Dispatcher(Recorder())
    assert call.add(args, kwargs, add)
    np.testing.assert_array_equal(call(*args, **kwargs), A + B)
    for other, (args, kwargs) in enumerate(STRUCTURES):
        if other != case:
            assert isinstance(call(*args, **kwargs), str)


def test_keys_are_sorted_and_order_does_not_matter(add):
    call = runtime.Dispatcher(Recorder())
    call.add(({"b": B, "a": A},), {}, runtime.Executable(*ro.add_static()))
    np.testing.assert_array_equal(call({"a": A, "b": B}), A + B)
    assert call({"a": A, "c": B}) == "miss"
    call.add((), {"b": B, "a": A}, add)
    np.testing.assert_array_equal(call(a=A, b=B), A + B)


def test_adding_twice_changes_nothing(add):
    call = runtime.Dispatcher(Recorder())
    assert call.add((A, B), {}, add) and call.add((B, A), {}, add)
    assert call.executables == [add]
    assert call.add(([A, B],), {}, add)
    assert call.executables == [add, add]


def test_static_arguments(add):
    call = runtime.Dispatcher(Recorder(), static_positions=[1], static_names=["mode"])
    call.add((A, 3, B), {"mode": "fast"}, add)
    np.testing.assert_array_equal(call(A, 3, B, mode="fast"), A + B)
    for args, mode in [
        ((A, 4, B), "fast"),
        ((A, 3.0, B), "fast"),
        ((A, True, B), "fast"),
        ((A, 3, B), "slow"),
    ]:
        assert call(*args, mode=mode) == "miss"


def test_static_argument_that_cannot_be_compared(add):
    class Odd:
        def __eq__(self, other):
            raise ValueError("no")

        __hash__ = None

    call = runtime.Dispatcher(Recorder(), static_positions=[0])
    call.add((Odd(), A, B), {}, add)
    with pytest.raises(ValueError, match="no"):
        call(Odd(), A, B)


def test_several_executables(add):
    call = runtime.Dispatcher(Recorder())
    call.add((A, B), {}, add)
    call.add((A, B), {}, runtime.Executable(*ro.add_dynamic(min=16)))
    x = np.ones(20, "float32")
    for _ in range(3):
        np.testing.assert_array_equal(call(A, B), A + B)
        np.testing.assert_array_equal(call(x, x), x + x)
    assert call(x[:9], x[:9]) == "miss"
    assert call.discard(add) == 1 and call(A, B) == "miss"
    call.clear()
    assert call(x, x) == "miss" and call.executables == []


def test_python_scalars_are_arguments(add):
    source = """int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {
      *(float *)out[0].data = *(float *)in[0].data + 1; return 0; }"""
    inc = runtime.Executable(ro.compile_c(source), ro.manifest([ro.arg("x", [])], [ro.out([])]))
    call = runtime.Dispatcher(Recorder())
    call.add((1.0,), {}, inc)
    assert call(2.5) == 3.5
    assert call(2) == "miss" and call(True) == "miss" and call("2") == "miss"


def test_unflatten(add):
    call = runtime.Dispatcher(Recorder())
    call.add((A, B), {}, add, lambda outputs: {"sum": outputs[0]})
    np.testing.assert_array_equal(call(A, B)["sum"], A + B)


def test_registered_classes_are_left_to_python(add):
    class Pair:
        pass

    call = runtime.Dispatcher(Recorder())
    assert call.add((Pair(), A, B), {}, add) is False
    assert call(Pair(), A, B) == "miss"


def test_wrong_number_of_leaves(add):
    assert runtime.Dispatcher(Recorder()).add((A,), {}, add) is False


def test_methods(add):
    class Jit(runtime.Dispatcher):
        pass

    seen = Recorder()

    class Model:
        forward = Jit(seen)

    model = Model()
    assert model.forward(A) == "miss"
    assert seen.calls[0][0][0] is model
    assert Model.forward is Model.__dict__["forward"]
    jit = Jit(seen)
    jit.__wrapped__ = "anything"


def test_static_self(add):
    class Model:
        pass

    model = Model()
    call = runtime.Dispatcher(Recorder(), static_positions=[0])
    call.add((model, A, B), {}, add)
    np.testing.assert_array_equal(call(model, A, B), A + B)
    assert call(Model(), A, B) == "miss"


def test_errors_of_miss_pass_without_our_frames():
    from tilewright.runtime import interop

    def miss(args, kwargs):
        interop.to_numpy(UserArray())

    class UserArray:
        def __dlpack__(self, **_):
            raise tw.ShapeError("wrong")

    with pytest.raises(tw.ShapeError) as caught:
        runtime.Dispatcher(miss)(A)
    package = tw.__path__[0]
    assert not [frame for frame in caught.traceback if str(frame.path).startswith(package)]
    assert caught.traceback[-1].name == "__dlpack__"


def test_entries_cleared_while_code_runs(add):
    call = runtime.Dispatcher(Recorder())

    def unflatten(outputs):
        call.clear()
        return outputs[0]

    call.add((A, B), {}, add, unflatten)
    np.testing.assert_array_equal(call(A, B), A + B)
    assert call(A, B) == "miss"


def test_cycles_are_collected(add):
    class Owner:
        def miss(self, args, kwargs):
            return None

    owner = Owner()
    owner.call = runtime.Dispatcher(owner.miss)
    owner.call.add((A, B), {}, add, functools.partial(lambda mine, outputs: mine, owner))
    ghost = weakref.ref(owner)
    del owner
    gc.collect()
    assert ghost() is None


def test_deep_structures_do_not_overflow():
    deep = A
    for _ in range(10_000):
        deep = [deep]
    call = runtime.Dispatcher(Recorder())
    call.add((A, B), {}, runtime.Executable(*ro.add_static()))
    assert call(deep) == "miss"


def test_without_miss(add):
    with pytest.raises(TypeError):
        runtime.Dispatcher()
    with pytest.raises(TypeError, match="__init__"):
        runtime.Dispatcher.__new__(runtime.Dispatcher)(A)
    with pytest.raises(TypeError, match="expected an Executable"):
        runtime.Dispatcher(Recorder()).add((A, B), {}, 3)


def test_a_comparison_may_change_the_table(add):
    """Equality of static arguments is code of users."""

    class Setting:
        armed = False

        def __init__(self, number):
            self.number = number

        def __eq__(self, other):
            if Setting.armed:
                call.clear()
            return self.number == other.number

        __hash__ = None

    call = runtime.Dispatcher(lambda args, kwargs: "miss", (2,))
    for number in range(3):
        call.add((A, B, Setting(number)), {}, add)
    Setting.armed = True
    # The entry that was found equal runs, though it has left the table meanwhile.
    np.testing.assert_array_equal(call(A, B, Setting(0)), A + B)
    assert call.executables == [] and call(A, B, Setting(0)) == "miss"


@pytest.mark.alone
def test_a_call_of_two_arguments_is_cheap(add):
    call = runtime.Dispatcher(Recorder())
    call.add((A, B), {}, add)
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            call(A, B)
        best = min(best, (time.perf_counter() - start) / 1000)
    assert best < 1.5e-6, f"{best * 1e6:.2f} µs"


def test_no_leak_over_many_calls_of_changing_shapes():
    def rss():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    call = runtime.Dispatcher(lambda args, kwargs: "miss")
    call.add((A, B), {}, runtime.Executable(*ro.add_dynamic()))
    arrays = [np.zeros(n, "float32") for n in range(1, 400)]

    def round_of_calls(count):
        for i in range(count):
            x = arrays[i % len(arrays)]
            assert call(x, x).shape == x.shape
            assert call(x, B[:0]) == "miss"
            assert call([x, x]) == "miss"

    round_of_calls(1000)
    before = rss()
    round_of_calls(20_000)
    assert rss() - before < 2 << 20


def test_weights_are_compared_by_identity():
    args = [ro.arg("a", [4]), ro.arg("b", [4], kind="weight", weight="b")]
    code = ro.add_static()[0]
    missed = []
    call = runtime.Dispatcher(lambda args, kwargs: missed.append(1), weight_positions=[1], weight_names=["b"])
    a, tree = np.ones(4, "f"), {"w": np.full(4, 2.0, "f")}
    unbound = runtime.Executable(code, ro.manifest(args, [ro.out([4])]))
    call.add((a, tree), {}, unbound.bind_arrays({1: tree["w"]}))
    assert call(a, tree)[0] == 3 and call(a, dict(tree))[0] == 3 and call(a + 1, tree)[0] == 4
    assert call(a, {"w": tree["w"].copy()}) is None and call(a, tree["w"]) is None, (
        "other arrays, another structure"
    )
    call.add((a,), {"b": tree["w"]}, unbound.bind_arrays({1: tree["w"]}))
    assert call(a, b=tree["w"])[0] == 3 and len(missed) == 2
    left = weakref.ref(tree["w"])
    call.clear()
    del tree
    assert left() is None
