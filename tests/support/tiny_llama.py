"""Small random GGUF files of the Llama architecture, written by the `gguf` package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from tilewright import formats


@dataclass(frozen=True)
class TinyLlama:
    """The sizes of a random model; `format` is a name of `gguf.GGMLQuantizationType` in lower case."""

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    head_dim: int | None = None
    feed_forward: int = 96
    vocabulary: int = 300
    rotary: int | None = None
    tied: bool = True
    base: float = 10000.0
    scaling: float = 1.0
    rope_freqs: bool = False
    biases: bool = False
    format: str = "f32"
    seed: int = 0


def vocabulary(size: int) -> tuple[list[str], list[str], list[int]]:
    """Return tokens, merges and types of a byte-level vocabulary: controls, the 256 bytes, then made-up merges."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(b) for b in printable] + [chr(0x100 + i) for i in range(256 - len(printable))]
    tokens = ["<|begin|>", "<|end|>", *letters]
    types = [3, 3] + [1] * 256
    merges = []
    for left in "ethaoinsr":
        for right in "ethaoinsr":
            if len(tokens) < size and left + right not in tokens:
                merges.append(f"{left} {right}")
                tokens.append(left + right)
                types.append(1)
    while len(tokens) < size:
        tokens.append(f"<unused{len(tokens)}>")
        types.append(3)
    return tokens[:size], merges, types[:size]


def write(path: Path, model: TinyLlama = TinyLlama()) -> Path:
    """Write a model file with random weights and return its path."""
    rng = np.random.default_rng(model.seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(model.layers)
    writer.add_context_length(128)
    writer.add_embedding_length(model.hidden)
    writer.add_feed_forward_length(model.feed_forward)
    writer.add_head_count(model.heads)
    writer.add_head_count_kv(model.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(model.base)
    head_dim = model.head_dim or model.hidden // model.heads
    if model.head_dim:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    rotary = model.rotary or head_dim
    writer.add_rope_dimension_count(rotary)
    if model.scaling != 1.0:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(model.scaling)
    tokens, merges, types = vocabulary(model.vocabulary)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)

    kind = gguf.GGMLQuantizationType[model.format.upper()]

    def add(name: str, *shape: int, plain: bool = False, scale: float | None = None) -> None:
        values = rng.standard_normal(shape).astype(np.float32) * (scale or shape[-1] ** -0.5)
        if plain or kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, 1 + 0.1 * values if plain else values)
        elif kind == gguf.GGMLQuantizationType.F16:
            writer.add_tensor(name, values.astype(np.float16))
        elif model.format.endswith("_k"):
            # The package reads these but does not make them.
            writer.add_tensor(name, formats.super_blocks(model.format, values), raw_dtype=kind)
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", model.vocabulary, model.hidden, scale=1.0)
    if not model.tied:
        add("output.weight", model.vocabulary, model.hidden)
    add("output_norm.weight", model.hidden, plain=True)
    if model.rope_freqs:
        writer.add_tensor("rope_freqs.weight", np.linspace(1, 4, rotary // 2, dtype=np.float32))
    for layer in range(model.layers):
        add(f"blk.{layer}.attn_norm.weight", model.hidden, plain=True)
        add(f"blk.{layer}.ffn_norm.weight", model.hidden, plain=True)
        for letter, count in (("q", model.heads), ("k", model.kv_heads), ("v", model.kv_heads)):
            add(f"blk.{layer}.attn_{letter}.weight", count * head_dim, model.hidden)
            if model.biases:
                writer.add_tensor(
                    f"blk.{layer}.attn_{letter}.bias",
                    rng.standard_normal(count * head_dim).astype(np.float32) * 0.1,
                )
        add(f"blk.{layer}.attn_output.weight", model.hidden, model.heads * head_dim)
        add(f"blk.{layer}.ffn_gate.weight", model.feed_forward, model.hidden)
        add(f"blk.{layer}.ffn_up.weight", model.feed_forward, model.hidden)
        add(f"blk.{layer}.ffn_down.weight", model.hidden, model.feed_forward)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
