"""The GGUF reader: what it reads, and that no file makes it do anything but raise FormatError."""

import resource
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_llama
from model_files import SMOLLM2, needs_smollm2
from tilewright.errors import FormatError
from tilewright.frontends.gguf import GGUFFile


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, payload: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + payload


def row(name: str, dims: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def build(pairs=(), rows=(), data=b"", *, version=3, magic=b"GGUF", counts=None) -> bytes:
    """Put a file together by hand, so that any part of it can be wrong."""
    tensors, keys = counts or (len(rows), len(pairs))
    head = magic + struct.pack("<IQQ", version, tensors, keys) + b"".join(pairs) + b"".join(rows)
    return head + b"\0" * (-len(head) % 32) + data


@pytest.fixture
def opened(tmp_path):
    def open_bytes(content: bytes) -> GGUFFile:
        path = tmp_path / "a.gguf"
        path.write_bytes(content)
        return GGUFFile(path)

    return open_bytes


def test_reads_what_the_gguf_package_writes(tmp_path):
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.TinyLlama(format="q8_0", kv_heads=1))
    reference = gguf.GGUFReader(str(path))
    with GGUFFile(path) as file:
        assert file.metadata["general.architecture"] == "llama"
        assert file.metadata["llama.attention.head_count_kv"] == 1
        assert set(file.tensors) == {t.name for t in reference.tensors}
        for tensor in reference.tensors:
            assert file.tensor(tensor.name).shape == tuple(int(n) for n in tensor.shape[::-1])
            np.testing.assert_array_equal(file.raw(tensor.name), tensor.data)


def test_every_metadata_type(opened):
    scalars = {
        0: ("<B", 255), 1: ("<b", -1), 2: ("<H", 65535), 3: ("<h", -2), 4: ("<I", 2**32 - 1), 5: ("<i", -3),
        6: ("<f", 0.5), 7: ("<B", 1), 10: ("<Q", 2**64 - 1), 11: ("<q", -4), 12: ("<d", 0.1),
    }  # fmt: skip
    pairs = [pair(f"k{kind}", kind, struct.pack(code, value)) for kind, (code, value) in scalars.items()]
    pairs.append(pair("s", 8, text("größer")))
    pairs.append(pair("strings", 9, struct.pack("<IQ", 8, 2) + text("a") + text("")))
    pairs.append(pair("floats", 9, struct.pack("<IQ2f", 6, 2, 1.5, -2.0)))
    pairs.append(pair("bools", 9, struct.pack("<IQ2B", 7, 2, 1, 0)))
    meta = opened(build(pairs)).metadata
    for kind, (_, value) in scalars.items():
        assert meta[f"k{kind}"] == value
    assert meta["k7"] is True and meta["s"] == "größer" and meta["strings"] == ["a", ""]
    assert meta["floats"].tolist() == [1.5, -2.0] and meta["bools"].tolist() == [True, False]


def test_data_are_read_only_views(opened):
    file = opened(build(rows=[row("w", [4, 2], 0, 0)], data=np.arange(8, dtype="<f4").tobytes()))
    data = file.raw("w")
    assert data.shape == (2, 4) and data[1, 0] == 4 and not data.flags.writeable and not data.flags.owndata
    file.release("w")
    assert data[1, 3] == 7
    file.close()
    assert data[1, 3] == 7, "a view outlives the file object"
    with pytest.raises(FormatError, match="closed"):
        file.raw("w")


F32 = b"\0" * 64
BAD = {
    "empty": (b"", "too short"),
    "magic": (build(magic=b"GGML"), "magic"),
    "version": (build(version=1), "version: 1; supported"),
    "big_endian": (build(version=3 << 24), "big-endian"),
    "tensor_count": (build(counts=(2**63, 0)), "tensor count"),
    "metadata_count": (build(counts=(0, 2**40)), "metadata count"),
    "missing_pair": (build(counts=(0, 1)), "truncated"),
    "key_length": (build([struct.pack("<Q", 2**62) + b"x" * 40]), "metadata key.*exceeds the limit"),
    "key_not_utf8": (build([struct.pack("<Q", 1) + b"\xff" + b"\0" * 40]), "metadata key: not UTF-8"),
    "key_twice": (build([pair("a", 7, b"\1"), pair("a", 7, b"\1")]), "'a': the key appears twice"),
    "value_type": (build([pair("a", 77, b"\1" * 16)]), "'a': unknown value type 77"),
    "bool": (build([pair("a", 7, b"\7")]), "7 is no bool"),
    "string_length": (
        build([pair("a", 8, struct.pack("<Q", 2**63) + b"x")]),
        "'a': needs 9223372036854775808 bytes",
    ),
    "array_nested": (build([pair("a", 9, struct.pack("<IQ", 9, 1) + b"\0" * 16)]), "nested"),
    "array_type": (build([pair("a", 9, struct.pack("<IQ", 13, 1) + b"\0" * 16)]), "unknown element type 13"),
    "array_count": (
        build([pair("a", 9, struct.pack("<IQ", 6, 2**61))]),
        "array of 2305843009213693952 elements",
    ),
    "array_strings": (build([pair("a", 9, struct.pack("<IQ", 8, 2**61))]), "does not fit into the file"),
    "array_string_length": (
        build([pair("a", 9, struct.pack("<IQ", 8, 1) + struct.pack("<Q", 2**64 - 8))], data=F32),
        r"'a'\[0\]: string of",
    ),
    "alignment": (build([pair("general.alignment", 4, struct.pack("<I", 48))]), "no power of two"),
    "alignment_type": (build([pair("general.alignment", 8, text("32"))]), "is str, expected int"),
    "rank": (build(rows=[row("w", [1] * 5, 0, 0)], data=F32), "rank 5 exceeds 4"),
    "dims_overflow": (build(rows=[row("w", [2**33, 2**33, 2**33], 0, 0)], data=F32), "impossible shape"),
    "dim_zero": (build(rows=[row("w", [0, 4], 0, 0)], data=F32), "impossible shape"),
    "tensor_type": (build(rows=[row("w", [4], 4, 0)], data=F32), "unknown tensor type 4"),
    "block": (build(rows=[row("w", [33], 8, 0)], data=F32), "no multiple of the q8_0 block"),
    "offset_unaligned": (build(rows=[row("w", [4], 0, 8)], data=F32), "not aligned"),
    "data_end": (build(rows=[row("w", [32], 0, 0)], data=F32), "data end at"),
    "offset_huge": (build(rows=[row("w", [4], 0, 2**64 - 32)], data=F32), "data end at"),
    "overlap": (
        build(rows=[row("v", [16], 0, 0), row("w", [4], 0, 32)], data=F32),
        "'w': overlaps tensor 'v'",
    ),
    "name_twice": (build(rows=[row("w", [4], 0, 0), row("w", [4], 0, 32)], data=F32), "name appears twice"),
    "name_length": (build(rows=[row("w" * 2000, [4], 0, 0)], data=F32), "tensor name.*exceeds the limit"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file(case, opened):
    content, phrase = BAD[case]
    with pytest.raises(FormatError, match=phrase) as caught:
        opened(content)
    assert "a.gguf" in str(caught.value)


def test_errors_tell_the_offset(opened):
    with pytest.raises(FormatError, match=r"a\.gguf: offset 33: metadata 'a': unknown value type 77"):
        opened(build([pair("a", 77, b"\1" * 16)]))


def test_strings_that_are_not_utf8_fail_when_they_are_read(opened):
    file = opened(build([pair("a", 9, struct.pack("<IQ", 8, 1) + struct.pack("<Q", 1) + b"\xff")]))
    with pytest.raises(FormatError, match=r"'a'\[0\]: not UTF-8"):
        file.metadata["a"]


def test_missing_names(opened):
    file = opened(build([pair("a", 8, text("x"))]))
    with pytest.raises(FormatError, match="tensor 'w' is missing"):
        file.raw("w")
    with pytest.raises(FormatError, match="metadata 'b' is missing"):
        file.metadata.require("b", str)
    with pytest.raises(FormatError, match="metadata 'a' is str, expected int"):
        file.metadata.require("a", int)
    assert file.metadata.optional("b", int, 7) == 7


def read_everything(path) -> None:
    with GGUFFile(path) as file:
        for key in file.metadata:
            file.metadata[key]
        for name in file.tensors:
            file.raw(name).sum(dtype=np.float64) if file.tensor(name).type.name == "f32" else file.raw(
                name
            ).max()


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    model = tiny_llama.TinyLlama(layers=1, hidden=32, heads=2, feed_forward=32, format="q8_0")
    return tiny_llama.write(tmp_path_factory.mktemp("fuzz") / "tiny.gguf", model).read_bytes()


@pytest.fixture
def bounded_memory():
    """Fail the allocation, not the machine, should a damaged length reach an allocation."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def test_truncated_anywhere(victim, tmp_path, bounded_memory):
    path = tmp_path / "cut.gguf"
    rng = np.random.default_rng(0)
    for size in {*range(64), *rng.integers(0, len(victim), 300).tolist(), len(victim) - 1}:
        path.write_bytes(victim[:size])
        with pytest.raises(FormatError):
            read_everything(path)


def test_flipped_bits(victim, tmp_path, bounded_memory):
    path = tmp_path / "flipped.gguf"
    rng = np.random.default_rng(1)
    with GGUFFile(_written(path, victim)) as file:
        header = file.data_offset
    refused = 0
    for _ in range(1500):
        data = bytearray(victim)
        for position in rng.integers(0, header, rng.integers(1, 4)):
            data[position] ^= 1 << int(rng.integers(8))
        try:
            read_everything(_written(path, bytes(data)))
        except FormatError:
            refused += 1
    assert refused > 100, "damage to lengths and counts is noticed"


def test_random_words_in_the_header(victim, tmp_path, bounded_memory):
    path = tmp_path / "words.gguf"
    rng = np.random.default_rng(2)
    extremes = [0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
    refused = 0
    for _ in range(1000):
        data = bytearray(victim)
        position = int(rng.integers(0, 6000))
        data[position : position + 8] = struct.pack("<Q", extremes[int(rng.integers(len(extremes)))])
        try:
            read_everything(_written(path, bytes(data)))
        except FormatError:
            refused += 1
    assert refused > 100, "words that lie about the file are noticed"


def _written(path, data: bytes):
    path.write_bytes(data)
    return path


@pytest.mark.alone
@needs_smollm2
def test_opens_a_real_file_quickly():
    import time

    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        GGUFFile(SMOLLM2).close()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5
    with GGUFFile(SMOLLM2) as file:
        assert file.tensor("token_embd.weight").shape == (49152, 576)
        assert file.raw("blk.0.attn_q.weight").shape == (576, 576 // 32 * 20)
        assert len(file.metadata["tokenizer.ggml.tokens"]) == 49152
