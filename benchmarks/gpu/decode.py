"""Decoding of a language model, token by token: SmolLM2-135M's sizes with random weights, which take no other time.

Neither a model file nor a tokeniser is needed. Each step takes a token, appends it to the cache and gives the logits
of the next one, which the host chooses: the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tilewright as tw
from tilewright import _runtime, formats
from tilewright.models import llama
from tilewright.models.llama_config import LlamaConfig, Rope
from tilewright.runtime import devices

SMOLLM2 = LlamaConfig(30, 576, 9, 3, 64, 64, 1536, 49152, 64, 1e-5)
SMALL = LlamaConfig(1, 32, 1, 1, 32, 32, 32, 64, 32, 1e-5)

#: Takes a token, returns the logits of the next one.
Step = Callable[[int], np.ndarray]


def parameters(config: LlamaConfig) -> dict[str, Any]:
    """Return the shape of each weight, as `llama.forward` takes them."""
    c = config
    layer = {
        "attn_norm": (c.hidden,),
        "attn_q": (c.heads * c.head_dim, c.hidden),
        "attn_k": (c.kv_heads * c.head_dim, c.hidden),
        "attn_v": (c.kv_heads * c.value_dim, c.hidden),
        "attn_output": (c.hidden, c.heads * c.value_dim),
        "ffn_norm": (c.hidden,),
        "ffn_gate": (c.feed_forward, c.hidden),
        "ffn_up": (c.feed_forward, c.hidden),
        "ffn_down": (c.hidden, c.feed_forward),
    }
    return {
        "embedding": (c.vocabulary, c.hidden),
        "norm": (c.hidden,),
        "layers": [dict(layer) for _ in range(c.layers)],
    }


def weights(config: LlamaConfig, format: str) -> dict[str, Any]:
    """Return random weights, the same each time: matrices in a float dtype or a quantised format, norms in float32."""
    rng = np.random.default_rng(0)

    def make(shape: tuple[int, ...]) -> Any:
        if len(shape) == 1:
            return (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32)
        matrix = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[1]))
        if format in formats.FORMATS:
            return tw.QuantizedTensor(formats.quantize(format, matrix), format=format)
        return matrix.astype(tw.dtypes.by_name(format).numpy)

    def walk(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: walk(part) for name, part in tree.items()}
        return [walk(part) for part in tree] if isinstance(tree, list) else make(tree)

    return walk(parameters(config))


def bytes_per_step(config: LlamaConfig, format: str) -> float:
    """Return the bytes of all matrices: a step reads each once."""
    matrices = [shape for shape in tw.tree_flatten(_shapes(config))[0] if len(shape.shape) == 2]
    count = float(sum(np.prod(shape.shape) for shape in matrices))
    if format not in formats.FORMATS:
        return count * tw.dtypes.by_name(format).numpy.itemsize
    planes = formats.plane_specs(format, (1, 1 << 12)).values()
    return count * sum(float(np.prod(shape)) * dtype.numpy.itemsize for shape, dtype in planes) / (1 << 12)


def _shapes(config: LlamaConfig) -> Any:
    def walk(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: walk(part) for name, part in tree.items()}
        return [walk(part) for part in tree] if isinstance(tree, list) else tw.spec(tree)

    return walk(parameters(config))


def ours(config: LlamaConfig, format: str, context: int, graphs: bool, target: str = "cuda") -> Step:
    """Compile the program for single tokens and bind the weights; the cache stays on the device."""
    tree = weights(config, format)
    specs = tw.tree_map(lambda array: tw.spec(array.shape, array.dtype.name), tree)
    table = tw.spec((1, config.rotary // 2), "float32")
    shapes = [(config.kv_heads, context, width) for width in (config.head_dim, config.value_dim)]
    cache_specs = [tuple(tw.spec(shape, "float32") for shape in shapes)] * config.layers
    positions = tw.spec((tw.Dim("positions", max=context),), "int32")
    jitted = tw.jit(partial(llama.next_logits, config), weight_argnums=0, donate_argnums=2, target=target)
    lowered = jitted.lower(specs, (table, table), cache_specs, tw.spec((1,), "int32"), positions)
    program = lowered.compile().executable
    names = [entry["weight"] for entry in program.manifest["args"] if entry["kind"] == "weight"]
    program = program.bind(dict(zip(names, tw.tree_flatten(tree)[0], strict=True)))
    cos, sin = Rope(config.rotary, 10000.0).tables(context)
    numbers = np.arange(context, dtype=np.int32)
    cache: list[Any] = [np.zeros(shape, np.float32) for shape in shapes * config.layers]
    length = 0

    def step(token: int) -> np.ndarray:
        nonlocal cache, length
        if target.startswith("cuda"):
            _runtime.set_cuda_options(graphs, False)
        row, length = slice(length, length + 1), length + 1
        logits, *cache = program.call_tuple(
            cos[row], sin[row], *cache, np.array([token], np.int32), numbers[:length]
        )
        return logits if isinstance(logits, np.ndarray) else devices.host_copy(logits)

    return step


def torchs(
    torch: Any, config: LlamaConfig, format: str, context: int, compiled: bool, device: str = "cuda"
) -> Step:
    """The same in torch, on a cache of a fixed size: positions are data, so that one program serves all steps."""
    kind = getattr(torch, format)
    functional = torch.nn.functional

    def put(array: np.ndarray) -> Any:
        return torch.from_numpy(np.asarray(array, np.float32)).to(device=device, dtype=kind)

    tree = tw.tree_map(put, weights(config, format))
    cos, sin = (put(part) for part in Rope(config.rotary, 10000.0).tables(context))
    widths = (config.head_dim, config.value_dim)
    caches = [
        [torch.zeros(config.kv_heads, context, width, device=device, dtype=kind) for width in widths]
        for _ in range(config.layers)
    ]

    def rotate(x: Any, c: Any, s: Any) -> Any:
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(-2)

    def forward(token: Any, position: Any) -> Any:
        x, c, s = tree["embedding"][token], cos[position], sin[position]
        seen = torch.arange(context, device=device)[None] <= position[:, None]
        for layer, (keys, values) in zip(tree["layers"], caches, strict=True):
            y = functional.rms_norm(x, x.shape[-1:], layer["attn_norm"], config.eps)
            q, k, v = (
                (y @ layer[name].T).view(1, count, -1).transpose(0, 1)
                for name, count in (("attn_q", config.heads), ("attn_k", config.kv_heads), ("attn_v", config.kv_heads))
            )  # fmt: skip
            keys.index_copy_(1, position, rotate(k, c, s))
            values.index_copy_(1, position, v)
            y = functional.scaled_dot_product_attention(
                rotate(q, c, s)[None], keys[None], values[None], attn_mask=seen, enable_gqa=True
            )
            x = x + y[0].transpose(0, 1).reshape(1, -1) @ layer["attn_output"].T
            y = functional.rms_norm(x, x.shape[-1:], layer["ffn_norm"], config.eps)
            y = functional.silu(y @ layer["ffn_gate"].T) * (y @ layer["ffn_up"].T)
            x = x + y @ layer["ffn_down"].T
        x = functional.rms_norm(x, x.shape[-1:], tree["norm"], config.eps)
        return (x @ tree["embedding"].T)[0]

    run = torch.compile(forward, mode="reduce-overhead", fullgraph=True) if compiled else forward
    length = 0

    def step(token: int) -> np.ndarray:
        nonlocal length
        with torch.no_grad():
            place = torch.tensor([length], device=device)
            logits = run(torch.tensor([token], device=device), place)
        length += 1
        return logits.float().cpu().numpy()

    return step
