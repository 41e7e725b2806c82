"""Models for target cuda without a GPU: small ones run in the interpreter against the CPU, real ones are assembled."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import tilewright as tw
from assembler import assemble, needs_ptxas
from cuda_device import DeviceProgram
from model_files import MINILM, SMOLLM2, needs_minilm, needs_smollm2
from op_matrix import fresh_rng
from test_bert import oracle, random_weights
from tilewright.frontends.safetensors import SafetensorsFile
from tilewright.models import bert, gguf_weights
from tilewright.models.language_model import LanguageModel
from tiny_llama import TinyLlama, write

ARCHES = ["sm_80", "sm_90a"]


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("weights", ["f16", "q4_1", "q8_0"])
def test_llama(weights, arch, tmp_path):
    """A prompt and two steps, caches carried on by the caller as the runtime does, give the CPU's logits."""
    size = TinyLlama(layers=1, hidden=32, heads=2, kv_heads=1, feed_forward=64, format=weights)
    path = write(tmp_path / "tiny.gguf", size)
    cpu = LanguageModel(path)
    gpu = LanguageModel(path, target=f"cuda:{arch}", prepare=False)
    planes = gguf_weights.LazyPlanes(gpu.file, gpu._names)
    programs = {name: DeviceProgram(lowered) for name, lowered in gpu.lowered().items()}
    cache, end = gpu._new_cache(), 0
    rng = fresh_rng()
    for count in (int(rng.integers(2, 8)), 1, 1):
        ids = rng.integers(0, gpu.config.vocabulary, count).astype(np.int32)
        begin, end = end, end + count
        program = programs["decode" if count == 1 else "prefill"]
        tables = (table[begin:end] for table in gpu._rope)
        inputs = iter([*tables, *cache, ids, gpu._positions[:end]])
        logits, *cache = program(
            *(
                np.asarray(planes[entry["weight"]]) if entry["kind"] == "weight" else next(inputs)
                for entry in program.manifest["args"]
            )
        )
        expected = cpu.feed(ids)
        assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("arch", ARCHES)
def test_bert(arch):
    """Sentences of several lengths with padding, odd sizes."""
    config = bert.BertConfig(1, 24, 3, 47, 51, 9)
    rng = fresh_rng()
    weights = random_weights(config, rng)
    specs = tw.tree_map(lambda a: tw.spec(a.shape, a.dtype.name), weights)
    batch, length = tw.Dim("batch"), tw.Dim("length", max=config.positions)
    lowered = (
        tw.jit(lambda w, i, m: bert.embed(config, w, i, m))
        .trace(specs, tw.spec((batch, length), "int32"), tw.spec((batch, length), "bool"))
        .lower(f"cuda:{arch}")
    )
    program = DeviceProgram(lowered)
    ids = rng.integers(0, config.vocabulary, (2, 7)).astype(np.int32)
    mask = np.arange(7) < rng.integers(1, 8, 2)[:, None]
    (found,) = program(*tw.tree_flatten(weights)[0], ids, mask)
    np.testing.assert_allclose(found, oracle(config, weights, ids, mask), atol=2e-5)


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mlp(dtype, arch):
    """Layers whose activations are computed on the sums of their products."""
    rng = fresh_rng()
    sizes = (24, 40, 33, 5)

    def mlp(x, layers):
        for i, (w, b) in enumerate(layers):
            x = tw.linear(x, w, b)
            x = tw.nn.gelu(x) if i + 1 < len(layers) else x
        return x

    kind = tw.dtypes.by_name(dtype).numpy
    layers = [
        (rng.standard_normal((n, k)).astype(kind), rng.standard_normal(n).astype(kind))
        for k, n in itertools.pairwise(sizes)
    ]
    x = rng.standard_normal((7, sizes[0])).astype(kind)
    specs = tw.tree_map(lambda a: tw.spec(a.shape, dtype), (x, layers))
    program = DeviceProgram(tw.jit(mlp).trace(*specs).lower(f"cuda:{arch}"))
    (found,) = program(*tw.tree_flatten((x, layers))[0])
    expected = tw.jit(mlp)(x, layers)
    assert len(program.launches) == len(layers), "each activation is part of its layer's kernel"
    allowed = {"float32": 2.0**-18, "bfloat16": 2.0**-5}[dtype] * np.abs(expected.astype("f8")).max()
    assert np.abs(found.astype("f8") - expected.astype("f8")).max() <= allowed


@needs_smollm2
@needs_ptxas
@pytest.mark.model
@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("part", ["prefill", "decode"])
def test_smollm2_assembles(part, arch, tmp_path):
    model = LanguageModel(SMOLLM2, target=f"cuda:{arch}", prepare=False)
    assert assemble(model.lowered()[part].as_text("object"), arch, tmp_path).spilled == 0


@needs_minilm
@needs_ptxas
@pytest.mark.model
@pytest.mark.parametrize("arch", ARCHES)
def test_minilm_assembles(arch, tmp_path):
    config = bert.BertConfig.from_json(MINILM / "config.json")
    weights = bert.load_weights(config, SafetensorsFile(MINILM / "model.safetensors"))
    specs = tw.tree_map(lambda array: tw.spec(array.shape, array.dtype.name), weights)
    size, length = tw.Dim("batch"), tw.Dim("length", max=config.positions)
    function = tw.jit(partial(bert.embed, config), weight_argnums=0, target=f"cuda:{arch}")
    lowered = function.lower(specs, tw.spec((size, length), "int32"), tw.spec((size, length), "bool"))
    assert assemble(lowered.as_text("object"), arch, tmp_path).spilled == 0
