"""Threads: the pool's loops, calls from several threads, fork, signals, idle workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import _runtime, runtime

pytestmark = ro.needs_cc

# out[i] += 1 for each index that a body sees; every index must be seen once.
COUNT = """
typedef struct { const TwRt *rt; uint8_t *seen; int64_t inner; } Ctx;
static void inner(void *p, int64_t begin, int64_t end) {
  Ctx *ctx = p;
  for (int64_t i = begin; i < end; ++i) __atomic_fetch_add(&ctx->inner, 1, __ATOMIC_RELAXED);
}
static void body(void *p, int64_t begin, int64_t end) {
  Ctx *ctx = p;
  for (int64_t i = begin; i < end; ++i) ctx->seen[i] += 1;
  char *scratch = ctx->rt->scratch_push(ctx->rt, 100);
  scratch[99] = 1;
  ctx->rt->parallel_for(ctx->rt, inner, ctx, end - begin);
  ctx->rt->scratch_pop(ctx->rt, scratch);
}
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  Ctx ctx = {rt, out[0].data, 0};
  for (int64_t i = 0; i < out[0].dims[0]; ++i) ctx.seen[i] = 0;
  rt->parallel_for(rt, body, &ctx, out[0].dims[0]);
  return ctx.inner == out[0].dims[0] ? 0 : 5;
}
int32_t tw_shapes(const TwArg *in, int64_t *out) { out[0] = in[0].dims[0]; out[1] = 0; return 0; }
"""


@pytest.fixture
def count():
    args = [ro.arg("x", [None], "uint8")]
    return runtime.Executable(
        ro.compile_c(COUNT), ro.manifest(args, [ro.out([None], "uint8")], shapes="tw_shapes")
    )


@pytest.fixture(autouse=True)
def _restore_threads():
    yield
    runtime.set_num_threads(None)


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 32])
def test_every_index_once(count, threads):
    runtime.set_num_threads(threads)
    assert runtime.num_threads() == threads
    for n in [0, 1, 2, 3, 7, 8, 9, 31, 100, 1000, 65537]:
        for _ in range(20):
            assert (count(np.zeros(n, "uint8")) == 1).all()


def test_calls_from_several_threads(count):
    runtime.set_num_threads(4)

    def work(seed):
        rng = np.random.default_rng(seed)
        return all((count(np.zeros(rng.integers(1, 5000), "uint8")) == 1).all() for _ in range(300))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_changing_the_count_while_calls_run(count):
    stop = threading.Event()
    results = []

    def work():
        while not stop.is_set():
            results.append((count(np.zeros(1000, "uint8")) == 1).all())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in [1, 4, 2, 3, 1, 8, 2] * 5:
        runtime.set_num_threads(n)
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert results and all(results)


def test_gil_is_released(count):
    source = """int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {
        volatile int32_t *flag = in[0].data;
        for (int64_t i = 0; i < 20000000000ll; ++i) if (*flag) { *(int32_t *)out[0].data = 1; return 0; }
        return 5; }"""
    wait = runtime.Executable(
        ro.compile_c(source), ro.manifest([ro.arg("flag", [1], "int32")], [ro.out([], "int32")])
    )
    flag = np.zeros(1, "int32")
    threading.Timer(0.05, lambda: flag.fill(1)).start()
    assert wait(flag) == 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork(count):
    runtime.set_num_threads(4)
    x = np.zeros(1000, "uint8")
    count(x)
    for _ in range(5):
        child = os.fork()
        if child == 0:
            good = runtime.num_threads() == 4 and all((count(x) == 1).all() for _ in range(50))
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (count(x) == 1).all()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_while_another_thread_runs_a_loop(count):
    runtime.set_num_threads(3)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            count(np.zeros(20000, "uint8"))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if (count(np.zeros(500, "uint8")) == 1).all() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()


@pytest.mark.alone
def test_idle_workers_sleep(count):
    runtime.set_num_threads(4)
    count(np.zeros(100, "uint8"))
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.02


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TILEWRIGHT_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5", "TILEWRIGHT_NUM_THREADS": "2"}, 2),
    ],
)
def test_environment(environ, expected):
    script = "from tilewright import runtime; print(runtime.num_threads())"
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "TILEWRIGHT_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", script], env={**clean, **environ}, capture_output=True, check=True, text=True
    )
    assert int(run.stdout) == expected


def test_affinity_is_honoured():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from tilewright import runtime; print(runtime.num_threads())"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "TILEWRIGHT_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", script], env=clean, capture_output=True, check=True, text=True
    )
    assert int(run.stdout) == 1


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_bad_count(count):
    with pytest.raises(tw.ArgumentError, match="positive integer"):
        runtime.set_num_threads(count)


def test_fork_join_is_cheap():
    runtime.set_num_threads(2)
    # The bound is wide: other programs share the machine. See benchmarks for the number.
    assert min(_runtime.measure_fork_join(2000) for _ in range(5)) < 50_000
