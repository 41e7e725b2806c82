"""Programs that are compiled at once: the same results as one by one, progress of each, and failures that stop the rest."""

import re
import threading

import numpy as np
import pytest
import tilewright as tw
from tilewright import pipeline, runtime


def lowered(function, *specs, target="cpu"):
    return tw.jit(function, target=target).lower(*specs)


@pytest.fixture(autouse=True)
def no_cache():
    with tw.config.override(cache=False):
        yield


@pytest.fixture(params=[1, 2])
def threads(request):
    before = runtime.num_threads()
    runtime.set_num_threads(request.param)
    yield request.param
    runtime.set_num_threads(before)


def test_results_and_objects_are_those_of_one_by_one(threads):
    n = tw.Dim("n")
    table = np.arange(6, dtype=np.float32)
    jobs = [
        lowered(lambda x: tw.softmax(x * 2, axis=-1), tw.spec((n, 33), "float32")),
        lowered(
            lambda x: x[:, :6] + table, tw.spec((n, 33), "float32")
        ),  # holds an array that the function captured
        lowered(lambda x: x.sum(axis=0), tw.spec((n, 33), "float32"), target="interp"),
    ]
    made = [compiled.executable for compiled in tw.compile_all(jobs)]
    x = np.random.default_rng().standard_normal((7, 33)).astype(np.float32)
    for job, executable in zip(jobs, made, strict=True):
        alone = job.compile().executable
        np.testing.assert_array_equal(executable.call_tuple(x)[0], alone.call_tuple(x)[0])
        if hasattr(alone, "object"):
            assert bytes(executable.object) == bytes(alone.object)


def test_each_tells_of_its_stages(threads):
    told = {}

    jobs = [lowered(lambda x, k=k: tw.exp(x) * k, tw.spec((4,), "float32")) for k in (2.0, 3.0)]
    tw.compile_all(jobs, progress=lambda number, *stage: told.setdefault(number, []).append(stage))
    assert set(told) == {0, 1}
    for stages in told.values():
        assert [done for _, done, _ in stages] == list(range(len(stages))) and stages[-1][0] == "object"


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_the_next_is_traced_while_the_first_compiles(threads, monkeypatch):
    compiling, traced = threading.Event(), threading.Event()
    real = pipeline.compile

    def watched(*arguments):
        compiling.set()
        assert traced.wait(60)
        return real(*arguments)

    monkeypatch.setattr(pipeline, "compile", watched)

    def jobs():
        yield lowered(lambda x: x + 1, tw.spec((4,), "float32"))
        assert compiling.wait(60)  # the first one has begun, and waits for what comes now
        yield lowered(lambda x: x - 1, tw.spec((4,), "float32"))
        traced.set()

    assert len(tw.compile_all(jobs())) == 2


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_a_failure_stops_the_others(threads, monkeypatch):
    failed, ended = threading.Event(), []

    def compile(module, target, options):
        if re.search("subtract|sub", module.operation.get_asm()):
            failed.set()
            raise tw.LoweringError("planted")
        assert failed.wait(60)
        for _ in range(10_000):
            with options.step:  # as before each pass; raises once the other has failed
                threading.Event().wait(0.001)
        ended.append(True)

    monkeypatch.setattr(pipeline, "compile", compile)
    jobs = [
        lowered(lambda x: x + 1, tw.spec((4,), "float32")),
        lowered(lambda x: x - 1, tw.spec((4,), "float32")),
    ]
    with pytest.raises(tw.LoweringError, match="planted"):
        tw.compile_all(jobs)
    assert not ended
