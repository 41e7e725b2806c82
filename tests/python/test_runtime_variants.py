"""The native table of variants: guards, counts, replacement under calls in other threads, no leaks."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import runtime_objects as ro
from tilewright import _runtime, runtime

pytestmark = ro.needs_cc

# Writes a number that tells which code ran.
TELL = """
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {{
  int64_t n = in[0].dims[0] * in[0].dims[1];
  for (int64_t i = 0; i < n; ++i)
    ((float *)out[0].data)[i] = {number};
  return 0;
}}
int32_t tw_shapes(const TwArg *in, int64_t *out) {{
  out[0] = in[0].dims[0]; out[1] = in[0].dims[1]; out[2] = 0;
  return 0;
}}
"""
SYMBOLS = {name: {"min": 0, "max": None, "multiple_of": 1} for name in ("m", "n")}


def telling(number: int, shape=(None, None)) -> _runtime.Executable:
    """An executable that fills its output with a number."""
    dims = [name if size is None else None for name, size in zip("mn", shape, strict=True)]
    args = [ro.arg("x", list(shape), dims=dims)]
    manifest = ro.manifest(args, [ro.out(list(shape))], shapes="tw_shapes", symbols=SYMBOLS)
    return runtime.Executable(ro.compile_c(TELL.format(number=number)), manifest)


def guard(executable, **sizes):
    return tuple(sizes.get(name) for name in executable.symbols)


def who(executable, m, n):
    (number,) = set(executable(np.zeros((m, n), "f")).ravel())
    return int(number)


def test_guards_pick_the_first_that_holds():
    run, both, rows = telling(0), telling(1, (3, 4)), telling(2)
    run.set_variants([(guard(run, m=3, n=4), both), (guard(run, m=3), rows)])
    assert [who(run, *shape) for shape in ((3, 4), (3, 5), (3, 4), (4, 4), (3, 5))] == [1, 2, 1, 0, 2]
    assert [calls for _, _, calls in run.variants()] == [2, 2]
    run.set_variants([(guard(run, m=3), rows)])
    assert [calls for _, _, calls in run.variants()] == [2], "what stays keeps its count"
    run.set_variants([])
    assert who(run, 3, 4) == 0 and run.variants() == []


def test_a_guard_of_nothing_replaces_the_code():
    run = telling(0)
    run.set_variants([(guard(run), telling(7))])
    assert who(run, 2, 2) == who(run, 3, 9) == 7


def test_a_variant_that_refuses_is_passed_over():
    run = telling(0)
    run.set_variants([(guard(run, m=3), telling(1, (3, 4)))])  # the guard promises more than it takes
    assert who(run, 3, 5) == 0 and who(run, 3, 4) == 1


@pytest.mark.parametrize("rows", ["self", "arity", "guard", "count"])
def test_bad_tables_are_refused(rows):
    run, other = telling(0), runtime.Executable(*ro.add_static())
    table = {
        "self": [(guard(run), run)],
        "arity": [(guard(run), other)],
        "guard": [((1,), telling(1))],
        "count": [(guard(run), telling(1))] * 100,
    }[rows]
    with pytest.raises(ValueError):
        run.set_variants(table)
    assert run.variants() == [] and who(run, 1, 1) == 0


def test_sizes_that_come_often_are_reported():
    run, seen = telling(0), []
    run.watch_sizes(5, seen.append)
    for _ in range(5):
        who(run, 3, 4)
    assert seen == [guard(run, m=3, n=4)]
    for i in range(400):  # every other call is the same, the rest never again
        who(run, 3, 4) if i % 2 else who(run, 5 + i, 2 + i % 9)
    assert seen.count(guard(run, m=3, n=4)) > 5 and set(seen) == {guard(run, m=3, n=4)}
    assert len(run.observed_sizes()) <= 8
    run.watch_sizes(0, None)
    count = len(seen)
    for _ in range(20):
        who(run, 3, 4)
    assert len(seen) == count


def test_sizes_that_stay_are_reported_without_the_others():
    run, seen = telling(0), []
    run.watch_sizes(10, seen.append)
    for i in range(25):
        who(run, 1 + i, 4)
    assert seen == [guard(run, n=4)]


def test_calls_that_do_not_fit_are_explained_as_before():
    run = telling(0)
    run.watch_sizes(1, lambda sizes: None)
    for bad in (np.zeros(3, "f"), np.zeros((2, 2))):
        with pytest.raises((ValueError, TypeError), match="argument 'x' compiled for"):
            run(bad)
    with pytest.raises(TypeError):
        run()


def test_an_error_of_the_watcher_spoils_no_call(monkeypatch):
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: said.append(problem.exc_type))
    run = telling(0)
    run.watch_sizes(1, lambda sizes: 1 / 0)
    assert who(run, 3, 4) == 0 and said == [ZeroDivisionError]


def test_replacement_while_others_call():
    run = telling(0)
    made = [telling(number, (3, 4)) for number in range(1, 5)]
    wrong, stop = [], threading.Event()

    def call():
        x = np.zeros((3, 4), "f")
        while not stop.is_set():
            result = run(x)
            if not (0 <= result[0, 0] <= 4 and (result == result[0, 0]).all()):
                wrong.append(result)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(1000):
        chosen = made[i % 4] if i % 7 else telling(4, (3, 4))  # unmapped once nobody runs it
        run.set_variants([(guard(run, m=3, n=4), chosen)] if i % 5 else [])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_is_left_behind():
    run, variant = telling(0), telling(1, (3, 4))
    run.watch_sizes(3, lambda sizes: None)
    run.set_variants([(guard(run, m=3, n=4), variant)])
    watched = [weakref.ref(run), weakref.ref(variant)]
    del run, variant
    assert [one() for one in watched] == [None, None]
    a, b = telling(0), telling(0)  # in a ring, only the collector can tell
    a.set_variants([(guard(a), b)])
    b.set_variants([(guard(b), a)])
    watched = [weakref.ref(a), weakref.ref(b)]
    del a, b
    gc.collect()
    assert [one() for one in watched] == [None, None]


def test_ten_thousand_sizes_take_no_memory():
    run = telling(0)
    run.watch_sizes(3, lambda sizes: None)
    arrays = [np.zeros((m, n), "f") for m in range(1, 101) for n in range(1, 101)]

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    for array in arrays * 2:
        run(array)
    before = resident()
    for _ in range(3):
        for array in arrays:
            run(array)
    assert resident() - before < 2 << 20
