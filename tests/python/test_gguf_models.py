"""Damaged model files end in FormatError before anything is compiled, whatever part of them is damaged."""

import struct

import numpy as np
import pytest
import tiny_llama

tw = pytest.importorskip("tilewright")
pytest.importorskip("tokenizers")

from tilewright.errors import FormatError  # noqa: E402
from tilewright.frontends.gguf import GGUFFile  # noqa: E402
from tilewright.models import gguf_weights  # noqa: E402
from tilewright.models.llama_config import LlamaConfig, Rope  # noqa: E402
from tilewright.models.tokenizer import Tokenizer  # noqa: E402


def open_model(path) -> None:
    """Do what a model does with its file before it compiles."""
    with GGUFFile(path) as file:
        config = LlamaConfig.from_gguf(file)
        tokenizer = Tokenizer(file)
        tokenizer.decode(tokenizer.encode("the sea"))
        names = gguf_weights.llama_names(config, file)
        gguf_weights.specs(file, names)
        Rope.from_gguf(file, config).tables(64)
        planes = gguf_weights.LazyPlanes(file, names)
        for name in planes:
            planes[name]
        planes.forget()


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    model = tiny_llama.TinyLlama(
        layers=1, hidden=32, heads=2, feed_forward=32, format="q8_0", rope_freqs=True
    )
    return tiny_llama.write(tmp_path_factory.mktemp("fuzz") / "tiny.gguf", model)


def test_the_undamaged_file_opens(victim):
    open_model(victim)


def test_flipped_bits_and_extreme_words(victim, tmp_path):
    content = victim.read_bytes()
    with GGUFFile(victim) as file:
        header = file.data_offset
    path = tmp_path / "damaged.gguf"
    rng = np.random.default_rng(3)
    extremes = [0, 1, 2**16, 2**31 - 1, 2**32 - 1]
    refused = 0
    for round_ in range(600):
        data = bytearray(content)
        position = int(rng.integers(0, header - 4))
        if round_ % 2:
            data[position] ^= 1 << int(rng.integers(8))
        else:
            data[position : position + 4] = struct.pack("<I", extremes[int(rng.integers(len(extremes)))])
        path.write_bytes(data)
        try:
            open_model(path)
        except FormatError as error:
            refused += 1
            assert "damaged.gguf" in str(error)
    assert refused > 100
