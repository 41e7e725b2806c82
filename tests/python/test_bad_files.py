"""Damaged, hostile and missing files: error class, key phrase and the user's line; and a cache in trouble."""

from __future__ import annotations

import errno
import json
import os
import struct
import warnings

import numpy as np
import pytest
import tilewright as tw
import tiny_llama
from mistakes import Table, check
from tilewright.frontends.gguf import GGUFFile
from tilewright.frontends.safetensors import SafetensorsFile

table = Table()


def gguf(folder):
    return tiny_llama.write(folder / "model.gguf")


def damaged(path, change):
    data = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(data) or data))
    return path


def put(offset, data):
    def change(content):
        content[offset : offset + len(data)] = data

    return change


# ---- GGUF ---------------------------------------------------------------------------------------------


@table.row(tw.FormatError, "truncated")
def gguf_cut_in_the_data(folder):
    path = damaged(gguf(folder), lambda data: data[:-100])
    GGUFFile(path)


@table.row(tw.FormatError, "do not fit into 40 bytes")
def gguf_cut_in_the_header(folder):
    path = damaged(gguf(folder), lambda data: data[:40])
    GGUFFile(path)


@table.row(tw.FormatError, "magic")
def gguf_of_another_kind(folder):
    path = damaged(gguf(folder), put(0, b"GGML"))
    GGUFFile(path)


@table.row(tw.FormatError, "version")
def gguf_of_a_version_to_come(folder):
    path = damaged(gguf(folder), put(4, struct.pack("<I", 99)))
    GGUFFile(path)


@table.row(tw.FormatError, "do not fit")
def gguf_that_claims_a_billion_tensors(folder):
    path = damaged(gguf(folder), put(8, struct.pack("<Q", 10**9)))
    GGUFFile(path)


@table.row(tw.FormatError, "do not fit")
def gguf_that_claims_more_metadata_than_memory(folder):
    path = damaged(gguf(folder), put(16, struct.pack("<Q", 2**60)))
    GGUFFile(path)


@table.row(tw.FormatError, "exceeds the limit")
def gguf_with_an_oversized_string(folder):
    path = damaged(gguf(folder), put(24, struct.pack("<Q", 2**40)))
    GGUFFile(path)


@table.row(tw.FormatError, "too short")
def gguf_that_is_empty(folder):
    path = folder / "empty.gguf"
    path.write_bytes(b"")
    GGUFFile(path)


@table.row(FileNotFoundError, "nowhere.gguf")
def gguf_that_is_not_there(folder):
    GGUFFile(folder / "nowhere.gguf")


# ---- safetensors --------------------------------------------------------------------------------------


def safetensors(folder, header=None, data=b"\0" * 4, length=None):
    if header is None:
        header = {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "a.safetensors"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


@table.row(tw.FormatError, "a.safetensors")
def safetensors_cut_in_the_data(folder):
    path = safetensors(folder, data=b"\0")
    SafetensorsFile(path)


@table.row(tw.FormatError, "a.safetensors")
def safetensors_with_an_oversized_header(folder):
    path = safetensors(folder, length=2**62)
    SafetensorsFile(path)


@table.row(tw.FormatError, "a.safetensors")
def safetensors_with_a_bit_flipped_header(folder):
    path = damaged(safetensors(folder), put(9, b"\xff"))
    SafetensorsFile(path)


@table.row(tw.FormatError, "a.safetensors")
def safetensors_whose_shape_and_bytes_disagree(folder):
    path = safetensors(folder, {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})
    SafetensorsFile(path)


# ---- artefacts ----------------------------------------------------------------------------------------


def artefact(folder):
    path = folder / "program.tw"
    tw.jit(lambda x: x * 2.0).lower(tw.spec((4,), "float32")).compile().save(path)
    return path


@table.row(tw.FormatError, "program.tw")
def artefact_that_is_truncated(folder):
    path = damaged(artefact(folder), lambda data: data[: len(data) // 2])
    tw.load(path)


@table.row(tw.FormatError, "program.tw")
def artefact_with_a_flipped_bit(folder):
    # in the code, in the middle of the file
    path = damaged(
        artefact(folder), lambda data: put(len(data) // 2, bytes([data[len(data) // 2] ^ 64]))(data)
    )
    tw.load(path)


@table.row(tw.FormatError, "other.tw")
def artefact_that_is_none(folder):
    path = folder / "other.tw"
    path.write_text("hello")
    tw.load(path)


@table.row(FileNotFoundError, "nowhere.tw")
def artefact_that_is_not_there(folder):
    tw.load(folder / "nowhere.tw")


@pytest.mark.parametrize(("make", "cls", "phrase"), table.rows)
def test_mistake(tmp_path, make, cls, phrase):
    check(make, cls, phrase, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_any_flipped_bit_of_an_artefact_is_an_error_or_harmless(tmp_path, seed):
    """Sections are under checksums: a flipped bit never becomes a wrong result."""
    source = artefact(tmp_path).read_bytes()
    rng = np.random.default_rng(seed)
    x = np.arange(4, dtype=np.float32)
    for _ in range(25):
        data = bytearray(source)
        position = int(rng.integers(len(data)))
        data[position] ^= 1 << int(rng.integers(8))
        path = tmp_path / "flipped.tw"
        path.write_bytes(data)
        try:
            result = tw.load(path)(x)
        except tw.TilewrightError:
            continue
        np.testing.assert_array_equal(result, x * 2)


# ---- the cache in trouble: a warning, and the right result --------------------------------------------


def double(x):
    return x * 2.0


def compile_with_cache(folder):
    """Compile with this cache folder as a new process would; return the warnings about the cache."""
    from tilewright import cache, config

    cache._at.cache_clear()
    x = np.arange(4, dtype=np.float32)
    with warnings.catch_warnings(record=True) as seen, config.override(cache_dir=folder):
        warnings.simplefilter("always")
        compiled = tw.jit(double).lower(tw.spec((4,), "float32")).compile()
    np.testing.assert_array_equal(compiled(x), x * 2)
    return [w for w in seen if issubclass(w.category, tw.CacheWarning)]


def test_corrupt_cache_entry_is_compiled_again(tmp_path):
    assert not compile_with_cache(tmp_path)
    (entry,) = tmp_path.rglob("*.twc")
    good = entry.read_bytes()
    damaged(entry, put(len(good) - 1, bytes([good[-1] ^ 1])))  # between sections there is padding
    (warning,) = compile_with_cache(tmp_path)
    assert "cache" in str(warning.message)
    assert entry.read_bytes()[:8] == good[:8], "the entry was made anew"
    assert not compile_with_cache(tmp_path)


def test_cache_folder_that_cannot_be_made(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("a file where a folder should be")
    seen = compile_with_cache(blocker / "cache")
    assert len(seen) == 1 and "TILEWRIGHT_CACHE_DIR" in str(seen[0].message)


def test_cache_folder_of_everybody_is_not_used(tmp_path):
    assert not compile_with_cache(tmp_path)
    (entry,) = tmp_path.rglob("*.twc")
    folder = entry.parent.parent
    entry.unlink()
    folder.chmod(0o777)
    seen = compile_with_cache(tmp_path)
    assert len(seen) == 1 and "0700" in str(seen[0].message) and not entry.exists()


def test_full_disk(tmp_path, monkeypatch):
    real = os.replace

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    seen = compile_with_cache(tmp_path)
    monkeypatch.setattr(os, "replace", real)
    assert len(seen) == 1 and "make room" in str(seen[0].message)
    assert not list(tmp_path.rglob("*.tmp")), "nothing is left behind"
