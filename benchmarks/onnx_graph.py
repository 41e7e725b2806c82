"""ONNX models for the peers that read them: from a list of nodes, or recorded from a network's function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def onnx_model(
    nodes: list,
    inputs: Mapping[str, np.ndarray],
    output: str | Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    output_type: str = "float32",
) -> bytes:
    """Return a serialised ONNX model.

    Args:
        nodes: tuples (op type, input names, output name or names, attributes).
        inputs: arrays of the shapes and dtypes that the model takes, by name; a size of 0 stands for any.
        output: name of the result, or of all.
        constants: initialisers by name.
        output_type: dtype of the results.
    """
    import onnx
    from onnx import helper, numpy_helper

    def element(dtype: Any) -> int:
        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def names(result: str | Sequence[str]) -> list[str]:
        return [result] if isinstance(result, str) else list(result)

    graph = helper.make_graph(
        [helper.make_node(op, list(args), names(result), **attributes) for op, args, result, attributes in nodes],
        "benchmark",
        [helper.make_tensor_value_info(n, element(x.dtype), [d or None for d in x.shape])
         for n, x in inputs.items()],
        [onnx.ValueInfoProto(name=name, type=onnx.TypeProto(
            tensor_type=onnx.TypeProto.Tensor(elem_type=element(output_type)))) for name in names(output)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )  # fmt: skip
    own = [helper.make_opsetid(domain, 1) for domain in {n.domain for n in graph.node} if domain]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), *own])
    model.ir_version = 10
    return model.SerializeToString()


class OnnxNetwork:
    """Records the operations of a network (see networks.py) as ONNX nodes; a value is a name."""

    def __init__(self) -> None:
        self.nodes: list[tuple] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}

    def constant(self, array: np.ndarray) -> str:
        """Return the name of an initialiser; the same array is stored once."""
        name = self._names.setdefault(id(array), f"c{len(self.constants)}")
        self.constants[name] = array
        return name

    def _named(self, value: Any) -> str:
        return value if isinstance(value, str) else self.constant(value)

    def node(self, op: str, *operands: Any, **attributes: Any) -> str:
        """Append a node; return the name of its result."""
        result = f"v{len(self.nodes)}"
        self.nodes.append((op, [self._named(x) for x in operands], result, attributes))
        return result

    def linear(self, x: Any, w: Any, b: Any) -> str:
        y = self.node("MatMul", x, self.node("Transpose", w, perm=[1, 0]))
        return y if b is None else self.node("Add", y, b)

    def embedding(self, ids: Any, table: Any) -> str:
        return self.node("Gather", table, ids, axis=0)

    def add(self, a: Any, b: Any) -> str:
        return self.node("Add", a, b)

    def first_rows(self, table: Any, count: int) -> str:
        return self.constant(np.ascontiguousarray(table[:count]))

    def relu(self, x: Any) -> str:
        return self.node("Relu", x)

    def gelu(self, x: Any) -> str:
        return self.node("Gelu", x)

    def layer_norm(self, x: Any, w: Any, b: Any, eps: float) -> str:
        return self.node("LayerNormalization", x, w, b, axis=-1, epsilon=eps)

    def attention(self, q: Any, k: Any, v: Any, heads: int, causal: bool) -> str:
        width = self._width
        split = np.array([0, 0, heads, width // heads], np.int64)
        # The scale is folded into the queries; keys come out transposed, as a product wants them.
        q = self.node("Mul", q, np.array((width // heads) ** -0.5, np.float32))
        q, k, v = (
            self.node("Transpose", self.node("Reshape", x, split), perm=perm)
            for x, perm in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3]))
        )
        scores = self.node("MatMul", q, k)
        if causal:
            mask = np.triu(np.full((self._length, self._length), -1e9, np.float32), 1)
            scores = self.node("Add", scores, mask)
        y = self.node("MatMul", self.node("Softmax", scores, axis=-1), v)
        return self.node(
            "Reshape", self.node("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, 0, width], np.int64)
        )

    def mean_of_tokens(self, x: Any) -> str:
        return self.node("ReduceMean", x, np.array([1], np.int64), keepdims=0)

    def unit_length(self, x: Any) -> str:
        return self.node("LpNormalization", x, axis=-1, p=2)

    def record(self, function: Any, inputs: Mapping[str, np.ndarray], length: int, width: int) -> bytes:
        """Return the model of `function(network, *input names)`.

        Args:
            function: the network with its weights bound.
            inputs: example inputs by name.
            length: tokens S, for the causal mask.
            width: E, for the heads.
        """
        self._length, self._width = length, width
        output = function(self, *inputs)
        return onnx_model(self.nodes, inputs, output, self.constants)


class RoundedOnnxNetwork(OnnxNetwork):
    """Dense layers in int8: rows are rounded when they come, columns of weights once (symmetric, a scale for each)."""

    def linear(self, x: Any, w: Any, b: Any) -> str:
        scale = np.maximum(np.abs(w).max(axis=1), np.float32(1e-30)) / np.float32(127)
        rounded = self.constant(np.ascontiguousarray(np.rint(w / scale[:, None]).astype(np.int8).T))
        number = len(self.nodes)
        rows = [f"{part}{number}" for part in ("rows", "step", "zero")]
        self.nodes.append(("DynamicQuantizeLinear", [self._named(x)], rows, {}))
        sums = self.node("Cast", self.node("MatMulInteger", rows[0], rounded, rows[2]), to=1)  # 1: float32
        y = self.node("Mul", sums, self.node("Mul", rows[1], scale))
        return y if b is None else self.node("Add", y, b)
