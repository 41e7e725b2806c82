"""The disk cache: entries come back whole or not at all, whoever else is at work."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import time
import warnings

import pytest
import tilewright as tw
from tilewright import cache as cache_module
from tilewright import cache_command, config
from tilewright.cache import Cache, key_of

KEY = key_of({"a": 1})
PARTS = {"object": b"\x7fELF" * 1000, "manifest": b"{}", "empty": b""}


@pytest.fixture
def store(tmp_path):
    return Cache(tmp_path / "cache")


def entry_file(store):
    (path,) = store.folder.glob("v1/??/*.twc")
    return path


def test_round_trip(store):
    assert store.get(KEY) is None
    assert store.put(KEY, PARTS, {"a": 1}, "f")
    entry = Cache(store.folder).get(KEY)
    assert entry.sections == PARTS
    assert (entry.components, entry.label) == ({"a": 1}, "f")


def test_key_depends_on_content_not_order():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 1, "b": 3})


def test_folder_is_private(store):
    store.put(KEY, PARTS)
    assert entry_file(store).parents[1].stat().st_mode & 0o777 == 0o700
    assert entry_file(store).stat().st_mode & 0o777 == 0o600


def test_replacing_an_entry(store):
    store.put(KEY, PARTS)
    store.put(KEY, {"object": b"new"})
    assert store.get(KEY).sections == {"object": b"new"}


def test_every_flipped_byte_is_seen(store):
    store.put(KEY, {"object": b"code" * 16}, {"a": 1})
    path = entry_file(store)
    good = path.read_bytes()
    unnoticed = 0
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x40]) + good[position + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            entry = store.get(key=KEY)
        if entry is None:
            assert caught[0].category is tw.CacheWarning and not path.exists()
        else:
            assert entry.sections == {"object": b"code" * 16}  # the byte meant nothing: padding
            unnoticed += 1
    assert unnoticed < 64


def test_every_truncation_is_seen(store):
    store.put(KEY, {"object": b"code" * 16})
    path = entry_file(store)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.warns(tw.CacheWarning, match="entry"):
            assert store.get(KEY) is None
        assert not path.exists()


def test_entry_of_another_key(store):
    store.put(KEY, PARTS)
    other = key_of({"a": 2})
    path = store._path(other)
    path.parent.mkdir(exist_ok=True)
    entry_file(store).rename(path)
    with pytest.warns(tw.CacheWarning, match="another key"):
        assert store.get(other) is None


def test_entry_that_others_can_write(store):
    store.put(KEY, PARTS)
    entry_file(store).chmod(0o666)
    with pytest.warns(tw.CacheWarning, match="other users can write"):
        assert store.get(KEY) is None


def test_entry_that_is_a_link(store, tmp_path):
    store.put(KEY, PARTS)
    path = entry_file(store)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(tw.CacheWarning):
        assert store.get(KEY) is None


def test_folder_open_to_others(store):
    (store.folder / "v1").mkdir(parents=True)
    (store.folder / "v1").chmod(0o755)
    with pytest.warns(tw.CacheWarning, match="0700"):
        assert not store.put(KEY, PARTS)
    assert store.get(KEY) is None  # and no second warning


def test_folder_of_another_user(store, monkeypatch):
    store.put(KEY, PARTS)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.warns(tw.CacheWarning, match="another user"):
        assert Cache(store.folder).get(KEY) is None


def test_folder_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(tw.CacheWarning, match="cannot use"):
        assert not Cache(tmp_path / "file" / "cache").put(KEY, PARTS)


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_folder_that_cannot_be_written(store, monkeypatch, code):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    store.put(key_of({"b": 1}), PARTS)
    monkeypatch.setattr(cache_module.container, "write", fail)
    with pytest.warns(tw.CacheWarning, match="cannot write") as caught:
        assert not store.put(KEY, PARTS)
        assert not store.put(KEY, PARTS)
    assert len(caught) == 1
    assert not list(store.folder.rglob("*.tmp"))
    assert store.get(key_of({"b": 1})) is not None


def test_interrupted_write_leaves_nothing(store, monkeypatch):
    monkeypatch.setattr(cache_module.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.put(KEY, PARTS)
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def _hammer(folder, seed):
    store = Cache(folder)
    for i in range(150):
        key = key_of({"k": (seed + i) % 7})
        entry = store.get(key)
        if entry is not None:
            assert entry.sections["object"] == key.encode() * 500
        store.put(key, {"object": key.encode() * 500}, {"k": (seed + i) % 7})
        if i % 40 == 0:
            store.gc(max_bytes=100_000)


def test_several_processes_at_once(store):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_hammer, args=(store.folder, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert store.verify() == []


def test_gc_removes_the_least_recently_used(store):
    keys = [key_of({"i": i}) for i in range(4)]
    for age, key in enumerate(keys):
        store.put(key, {"object": bytes(1000)})
        os.utime(store._path(key), (time.time() - 1000 + age, time.time() - 1000 + age))
    store.get(keys[0])  # used just now
    size = store._path(keys[0]).stat().st_size
    assert set(store.gc(max_bytes=2 * size)) == {keys[1], keys[2]}
    assert store.get(keys[0]) and store.get(keys[3])
    assert store.gc(max_age=3600) == []
    assert store.clear() == 2


def test_gc_removes_what_crashed_writers_left(store):
    store.put(KEY, PARTS)
    old = entry_file(store).with_name(".dead.tmp")
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.gc()
    assert not old.exists() and store.get(KEY)


def test_gc_happens_by_itself(tmp_path):
    store = Cache(tmp_path, max_bytes=20_000)
    for i in range(100):
        store.put(key_of({"i": i}), {"object": bytes(1000)})
    assert sum(row.size for row in store.ls()) < 20_000 + 32 * 2000


def test_verify_names_damaged_entries(store):
    store.put(KEY, PARTS)
    path = entry_file(store)
    path.write_bytes(path.read_bytes()[:-1])
    (row,) = store.verify()
    assert row.key == KEY and row.problem
    store.verify(remove=True)
    assert store.ls() == []


def test_explain(store):
    first, second = {"ir": "aa", "target": "cpu"}, {"ir": "bb", "target": "cpu"}
    store.put(key_of(first), PARTS, first, "f")
    store.put(key_of(second), PARTS, second, "f")
    store.put(key_of({"ir": "cc"}), PARTS, {"ir": "cc"}, "g")
    (_, none), (row, changes) = store.explain("f")
    assert none == [] and changes == [("ir", "aa", "bb")] and row.components == second
    assert len(store.explain()) == 3
    assert store.explain_miss({"ir": "bb", "target": "cuda"}, "f") == [("target", "cpu", "cuda")]
    assert store.explain_miss({"ir": "bb"}, "h") is None


def test_a_miss_of_a_model_is_explained(store, caplog):
    def facts(layers):
        return {"kind": "model", "config": {"layers": layers, "heads": 9}, "build": "b"}

    label = "llama tiny.gguf"
    store.put(key_of(facts(30)), PARTS, facts(30), label)
    with caplog.at_level("INFO", "tilewright.cache"):
        store.log_miss(facts(12), label)
        store.log_miss(facts(12), "llama other.gguf")
    assert caplog.messages[0] == "llama tiny.gguf: not in the cache: config.layers: 30 -> 12"
    assert "nothing of this name" in caplog.messages[1]
    store.put(key_of(facts(12)), PARTS, facts(12), label)
    assert store.explain("tiny.gguf")[1][1] == [("config.layers", 30, 12)]


def test_default_follows_the_settings(tmp_path):
    with config.override(cache_dir=tmp_path, cache=True):
        assert cache_module.default().folder == tmp_path
        assert cache_module.default() is cache_module.default()
    with config.override(cache=False):
        assert cache_module.default() is None


def test_bad_key(store):
    with pytest.raises(tw.ArgumentError):
        store.get("../../etc/passwd")


def test_command(store, capsys):
    def run(*argv):
        code = cache_command.main(["--dir", str(store.folder), *argv])
        return code, capsys.readouterr().out

    assert run("ls") == (0, f"0 entries, 0 B in {store.folder}\n")
    store.put(KEY, PARTS, {"ir": "aa"}, "softmax")
    assert "softmax" in run("ls")[1]
    assert run("verify") == (0, "0 damaged entries\n")
    assert "ir: aa" in run("explain", "softmax")[1]
    assert run("explain", "nothing")[0] == 1
    assert run("path") == (0, f"{store.folder}\n")
    assert run("gc", "--max-size", "1G", "--max-age", "1")[1] == "0 entries removed\n"
    path = entry_file(store)
    path.write_bytes(b"junk")
    code, text = run("verify", "--remove")
    assert code == 1 and "DAMAGED" in text
    store.put(KEY, PARTS, {"ir": "aa"}, "softmax")
    assert run("clear")[1] == "1 entries removed\n"
    assert cache_module.main(["--dir", str(store.folder), "--json", "ls"]) == 0
    assert json.loads(capsys.readouterr().out) == []
