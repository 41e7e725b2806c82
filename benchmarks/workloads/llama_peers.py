"""The Llama file of a workload in the forms that peers run: an ONNX graph of 4-bit products, a GGUF file in Q4_0."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..onnx_graph import onnx_model

BLOCK = 32  # weights that share a scale, in all formats here
MICROSOFT = {"domain": "com.microsoft"}


def q4_0_file(source: Path) -> Path:
    """Write the model of `source` with every Q4_1 tensor quantised again to Q4_0; other tensors stay as they are.

    The file lives as long as the process.
    """
    import gguf

    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    reader = gguf.GGUFReader(str(source))
    path = Path(folder.name) / "model.Q4_0.gguf"
    architecture = reader.get_field("general.architecture")
    assert architecture is not None
    writer = gguf.GGUFWriter(str(path), architecture.contents())
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        sub_type = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=sub_type)
    for tensor in reader.tensors:
        data, kind = tensor.data, tensor.tensor_type
        if kind == gguf.GGMLQuantizationType.Q4_1:
            kind = gguf.GGMLQuantizationType.Q4_0
            data = gguf.quantize(gguf.dequantize(tensor.data, tensor.tensor_type), kind)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _blocks(tensor: Any, head: int, body: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the float16 numbers `[N, G, head]` and the bytes `[N, G, body]` of a tensor's blocks."""
    raw = tensor.data.reshape(tensor.data.shape[0], -1, 2 * head + body)
    return raw[..., : 2 * head].copy().view(np.float16), raw[..., 2 * head :]


class Graph:
    """Nodes and constants while they are collected."""

    def __init__(self) -> None:
        self.nodes: list[tuple] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def node(self, op: str, *operands: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append((op, operands, name, attributes))
        return name

    def linear(self, x: str, tensors: list[Any]) -> str:
        """Return x @ w.T for the rows of all `tensors` one after the other; activations are rounded to 8 bits.

        Q4_1's minimum becomes the nearest whole zero point, which is what the fast kernels take; Q8_0 stays as it is.
        """
        import gguf

        depth = int(tensors[0].shape[0])
        if tensors[0].tensor_type == gguf.GGMLQuantizationType.Q8_0:
            parts = [_blocks(t, 1, BLOCK) for t in tensors]
            bits, stored = 8, [q ^ 128 for _, q in parts]  # unsigned, 128 is zero
            extra = []
        else:
            parts = [_blocks(t, 2, BLOCK // 2) for t in tensors]
            # Byte j of GGUF holds weights j and j + 16, here it holds 2 j and 2 j + 1.
            bits, stored = 4, []
            for _, q in parts:
                weights = np.concatenate([q & 15, q >> 4], axis=-1)
                stored.append(weights[..., 0::2] | weights[..., 1::2] << 4)
            zeros = []
            for scales, _ in parts:
                d, m = scales[..., 0].astype(np.float32), scales[..., 1].astype(np.float32)
                zero = np.rint(np.divide(-m, d, out=np.zeros_like(m), where=d != 0))
                zeros.append(np.clip(zero, 0, 15).astype(np.uint8))
            points = np.concatenate(zeros)
            points = np.pad(points, ((0, 0), (0, points.shape[1] % 2)))
            extra = [self.constant((points[:, 0::2] | points[:, 1::2] << 4).reshape(-1))]
        columns = np.concatenate(stored)
        scales = np.concatenate([s[..., 0] for s, _ in parts]).astype(np.float32)
        return self.node(
            "MatMulNBits", x, self.constant(columns), self.constant(scales.reshape(-1)), *extra,
            K=depth, N=columns.shape[0], bits=bits, block_size=BLOCK, accuracy_level=4, **MICROSOFT,
        )  # fmt: skip

    def norm(self, x: str, weight: np.ndarray, eps: float) -> str:
        return self.node("SimplifiedLayerNormalization", x, self.constant(weight), axis=-1, epsilon=eps)


def int4_graph(path: Path, context: int) -> tuple[bytes, int, tuple[int, int, int]]:
    """Return an ONNX model of a Llama file in Q4_1 with Q8_0 tables.

    Its inputs are `tokens` int64 [1, S], `last` int32 [1] and `total` int32 [] (places of the last token, and how many
    there are), and per layer i `k{i}`, `v{i}` [1, Hkv, C, D]; its outputs the logits [1, 1, V] of the last token and
    `k{i}_out`, `v{i}_out`, for the same memory.

    Returns:
        The model, the number of layers, and (Hkv, C, D).
    """
    import gguf

    reader = gguf.GGUFReader(str(path))
    tensors = {t.name: t for t in reader.tensors}

    def fact(name: str) -> Any:
        field = reader.get_field("llama." + name)
        assert field is not None, name
        return field.contents()

    heads, kv_heads, layers = (
        fact(n) for n in ("attention.head_count", "attention.head_count_kv", "block_count")
    )
    width, eps = fact("embedding_length"), fact("attention.layer_norm_rms_epsilon")
    size = width // heads
    angles = np.arange(context)[:, None] * float(fact("rope.freq_base")) ** (-np.arange(0, size, 2) / size)
    g = Graph()
    cos, sin = g.constant(np.cos(angles).astype(np.float32)), g.constant(np.sin(angles).astype(np.float32))
    table = tensors["token_embd.weight"]
    scales, rows = _blocks(table, 1, BLOCK)
    x = g.node("Cast", g.node("Gather", g.constant(rows.view(np.int8)), "tokens", axis=0), to=1)
    x = g.node("Mul", x, g.node("Gather", g.constant(scales.astype(np.float32)), "tokens", axis=0))
    x = g.node("Reshape", x, g.constant(np.array([1, -1, width], np.int64)))
    outputs = []
    for i in range(layers):

        def weight(name: str, layer: int = i) -> Any:
            return tensors[f"blk.{layer}.{name}.weight"]

        h = g.norm(x, weight("attn_norm").data, eps)
        qkv = g.linear(h, [weight("attn_q"), weight("attn_k"), weight("attn_v")])
        y = f"attention{i}"
        operands = (qkv, "", "", f"k{i}", f"v{i}", "last", "total", cos, sin)
        g.nodes.append(("GroupQueryAttention", operands, [y, f"k{i}_out", f"v{i}_out"], {
            "num_heads": heads, "kv_num_heads": kv_heads, "do_rotary": 1, "rotary_interleaved": 1, **MICROSOFT,
        }))  # fmt: skip
        outputs += [f"k{i}_out", f"v{i}_out"]
        x = g.node("Add", x, g.linear(y, [weight("attn_output")]))
        h = g.norm(x, weight("ffn_norm").data, eps)
        gate = g.linear(h, [weight("ffn_gate")])
        gate = g.node("Mul", gate, g.node("Sigmoid", gate))
        x = g.node(
            "Add", x, g.linear(g.node("Mul", gate, g.linear(h, [weight("ffn_up")])), [weight("ffn_down")])
        )
    x = g.node(
        "Gather", g.norm(x, tensors["output_norm.weight"].data, eps), g.constant(np.array([-1])), axis=1
    )
    logits = g.linear(x, [tensors.get("output.weight", table)])
    cache = np.empty((1, kv_heads, context, size), np.float32)
    inputs = {
        "tokens": np.empty((1, 0), np.int64),
        "last": np.empty(1, np.int32),
        "total": np.empty((), np.int32),
    }
    inputs |= {name.removesuffix("_out"): cache for name in outputs}
    return onnx_model(g.nodes, inputs, [logits, *outputs], g.constants), layers, (kv_heads, context, size)


class Int4Session:
    """ONNX Runtime with the graph above and one cache that its outputs overwrite."""

    def __init__(self, path: Path, context: int, threads: int) -> None:
        import onnxruntime

        model, self.layers, shape = int4_graph(path, context)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        for name in (f"{kind}{i}" for i in range(self.layers) for kind in "kv"):
            cache = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, *shape), np.float32))
            self.binding.bind_ortvalue_input(name, cache)
            self.binding.bind_ortvalue_output(name + "_out", cache)
        self.logits = self.session.get_outputs()[0].name

    def feed(self, tokens: list[int], start: int) -> np.ndarray:
        """Process tokens from place `start` on; return the logits `[V]` that follow."""
        total = start + len(tokens)
        self.binding.bind_cpu_input("tokens", np.array([tokens], np.int64))
        self.binding.bind_cpu_input("last", np.array([total - 1], np.int32))
        self.binding.bind_cpu_input("total", np.array(total, np.int32))
        self.binding.bind_output(self.logits)
        self.session.run_with_iobinding(self.binding)
        return self.binding.get_outputs()[-1].numpy().reshape(-1)

    def greedy(self, token: int, start: int, count: int) -> Iterator[int]:
        """Continue after `token`, which stands at place `start`."""
        for place in range(start, start + count):
            token = int(np.argmax(self.feed([token], place)))
            yield token
