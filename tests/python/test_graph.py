"""The explicit builder: the IR it gives is that of tracing the same steps, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from tilewright.programs import to_bytecode

N = tw.Dim("n", max=64)
F = "float32"

# (program, its inputs as (name, shape, dtype))
PROGRAMS = {
    "add": (lambda x, y: x + y, [("x", (4,), F), ("y", (4,), F)]),
    "broadcast": (lambda x, y: x * y - 1.5, [("x", (N, 4), F), ("y", (4,), F)]),
    "unary": (lambda x: tw.tanh(tw.exp(-x)), [("x", (N, 3), "bfloat16")]),
    "compare": (lambda x: tw.where(x > 0, x, 0.1 * x), [("x", (7,), F)]),
    "ints": (lambda x, y: (x // y, x % y, x << 2), [("x", (5,), "int32"), ("y", (5,), "int32")]),
    "matmul": (lambda x, w: x @ w, [("x", (N, 8), F), ("w", (8, 3), F)]),
    "batched": (lambda x, w: x @ w.mT, [("x", (2, N, 8), F), ("w", (2, 5, 8), F)]),
    "einsum": (lambda x, y: tw.einsum("bij,bkj->bki", x, y), [("x", (2, 3, 4), F), ("y", (2, 5, 4), F)]),
    "reduce": (lambda x: (x.sum(axis=0), x.mean(axis=1, keepdims=True), x.max()), [("x", (N, 4), F)]),
    "norms": (lambda x, w: tw.rms_norm(tw.layer_norm(x), w), [("x", (N, 16), F), ("w", (16,), F)]),
    "softmax": (lambda x: tw.softmax(x, axis=0), [("x", (3, 4), F)]),
    "shapes": (lambda x: tw.concat([x.reshape(-1), x.T.reshape(-1)]), [("x", (N, 4), F)]),
    "index": (lambda x: x[1:, ::-1][..., None, 0], [("x", (5, 6), F)]),
    "gather": (lambda x, i: tw.take(x, i, axis=1), [("x", (5, 6), F), ("i", (3,), "int64")]),
    "update": (lambda x, u, i: tw.update_slice(x, u, (i, 0)),
               [("x", (8, 2), F), ("u", (1, 2), F), ("i", (), "int64")]),
    "iota": (lambda x: x + tw.iota(x.shape, 1, dtype="float32"), [("x", (N, 4), F)]),
    "cond": (lambda p, x: tw.cond(p, lambda v: v + 1, lambda v: v * x, x), [("p", (), "bool"), ("x", (N,), F)]),
    "scan": (lambda x: tw.scan(lambda c, s: (c + s, c * x.shape[0]), tw.zeros((4,)), x), [("x", (N, 4), F)]),
    "while": (lambda x: tw.while_loop(lambda v: v < 9, lambda v: v + x, x), [("x", (), F)]),
    "attention": (lambda q, k: tw.attention(q, k, k, causal=True),
                  [("q", (1, 4, N, 8), F), ("k", (1, 2, N, 8), F)]),
    "trees": (lambda x: {"a": x, "b": (x + 1, None)}, [("x", (4,), "float64")]),
    "constants": (lambda x: x + np.ones((40, 40), F) + np.arange(40, dtype=F), [("x", (40, 40), F)]),
}  # fmt: skip


def build(name):
    fn, inputs = PROGRAMS[name]
    graph = tw.Graph("program")
    values = [graph.input(*each) for each in inputs]
    with graph:
        graph.output(fn(*values))
    return graph


@pytest.mark.parametrize("name", PROGRAMS)
def test_graph_equals_trace(name):
    fn, inputs = PROGRAMS[name]
    parameters = ", ".join(each[0] for each in inputs)
    # The names of arguments are part of the program.
    named = eval(f"lambda {parameters}: fn({parameters})", {"fn": fn})
    traced = tw.jit(named).trace(*(tw.spec(shape, dtype) for _, shape, dtype in inputs))
    graph = build(name).trace()
    assert graph.as_text() == traced.as_text()
    assert list(map(str, graph.outputs)) == list(map(str, traced.outputs))


def test_graph_bytes_do_not_change():
    assert to_bytecode(build("scan").trace().module) == to_bytecode(build("scan").trace().module)


def test_operators_work_without_entering_the_graph():
    graph = tw.Graph("mlp")
    x = graph.input("x", (None, 4))
    w = graph.weight("w", (4, 3))
    graph.output(tw.relu(x @ w) + 1)
    compiled = graph.compile("interp").bind({"w": np.ones((4, 3), "f")})
    np.testing.assert_array_equal(compiled(np.ones((2, 4), "f")), np.full((2, 3), 5))


def test_constants_and_dtypes():
    graph = tw.Graph()
    x = graph.input("x", (2,), "int32")
    graph.output(x + graph.constant([1, 2], "int32"))
    np.testing.assert_array_equal(graph.compile("interp")(np.int32([1, 1])), [2, 3])


@pytest.mark.parametrize(
    ("misuse", "phrase"),
    [
        (lambda g, x: g.input("x", (4,)), "is taken"),
        (lambda g, x: g.trace(), "no output yet"),
        (lambda g, x: (g.output(x), g.input("y", (4,))), "has its outputs already"),
        (lambda g, x: (g.output(x), g.output(x)), "has its outputs already"),
    ],
)
def test_misuse(misuse, phrase):
    graph = tw.Graph("g")
    x = graph.input("x", (4,))
    with pytest.raises(tw.ArgumentError, match=phrase):
        misuse(graph, x)


def test_errors_point_at_the_users_line():
    import traceback

    graph = tw.Graph("g")
    x, y = graph.input("x", (4,)), graph.input("y", (5,))
    with pytest.raises(tw.ShapeError) as info:
        x + y
    assert info.value.loc.text == "x + y"
    assert {f.filename for f in traceback.extract_tb(info.value.__traceback__)} == {__file__}


def test_a_finished_graph_is_closed():
    graph = tw.Graph("g")
    x = graph.input("x", (4,))
    graph.output(x)
    graph.trace()
    with pytest.raises(tw.TracerError, match="after its trace has ended"):
        x + 1
