"""Large programs are emitted in parts on several threads and joined: one object as before, the same bytes every time."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from typing import Any

import numpy as np
import pytest
import tilewright as tw
from tilewright import pipeline, runtime

SIZES = (33, 47, 65, 80, 95, 113)


def program(x: Any, weights: list[Any]) -> Any:
    """As many different kernels as there are sizes, so that they are worth several parts."""
    total = x.sum()
    for weight in weights:
        total = total + tw.softmax(tw.gelu(x @ weight)).max() + tw.layer_norm(x @ weight).min()
    return total


def arrays() -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(7)
    draw = lambda *shape: rng.standard_normal(shape, dtype=np.float32)  # noqa: E731
    return draw(37, 61), [draw(61, n) for n in SIZES]


def compiled() -> tuple[Any, bytes, dict[str, Any]]:
    function = tw.jit(program)
    code, manifest = pipeline.compile(function.trace(*arrays()).module)
    return function, code, manifest


def symbols(code: bytes) -> list[tuple[str, int, int, int]]:
    """Return (name, binding, visibility, section) of every symbol of an ELF object."""
    start, count, names = *struct.unpack_from("<Q", code, 40), *struct.unpack_from("<HH", code, 60)
    assert names < count
    headers = [struct.unpack_from("<IIQQQQIIQQ", code, start + 64 * i) for i in range(count)]
    (table,) = (h for h in headers if h[1] == 2)
    strings = headers[table[6]]
    found = []
    for i in range(table[5] // 24):
        name, info, other, section = struct.unpack_from("<IBBH", code, table[4] + 24 * i)
        begin = strings[4] + name
        found.append((code[begin : code.index(b"\0", begin)].decode(), info >> 4, other & 3, section))
    assert all(binding == 0 for _, binding, _, _ in found[: table[7]])
    assert all(binding != 0 for _, binding, _, _ in found[table[7] :])
    return found


def sections_of_code(code: bytes) -> int:
    start, count = *struct.unpack_from("<Q", code, 40), *struct.unpack_from("<H", code, 60)
    headers = [struct.unpack_from("<IIQQQQIIQQ", code, start + 64 * i) for i in range(count)]
    return sum(1 for h in headers if h[2] & 4 and h[5] > 0)


def test_parts_compute_the_same_as_the_whole():
    function, code, _ = compiled()
    assert sections_of_code(code) > 1  # it was split at all
    x, weights = arrays()
    with tw.config.override(disable_jit=True):
        expected = tw.jit(program)(x, weights)
    np.testing.assert_allclose(function(x, weights), expected, rtol=1e-4, atol=1e-4)


def test_the_same_bytes_every_time():
    assert len({compiled()[1] for _ in range(3)}) == 1


def test_only_entries_are_visible():
    _, code, _ = compiled()
    defined = [(name, binding, visibility) for name, binding, visibility, section in symbols(code) if section]
    assert {name for name, binding, _ in defined if binding} == {"tw_main", "tw_shapes"}
    assert all(visibility == 0 for _, _, visibility in defined)
    undefined = [name for name, binding, _, section in symbols(code) if binding and not section]
    assert len(undefined) == len(set(undefined)) and not any(name.startswith("kernel") for name in undefined)


@pytest.mark.skipif(shutil.which("ld") is None, reason="needs a linker")
def test_a_system_linker_takes_two_of_them(tmp_path):
    _, code, _ = compiled()
    first, second = tmp_path / "first.o", tmp_path / "second.o"
    first.write_bytes(code)
    renamed = code.replace(b"\0tw_main\0", b"\0tw_mine\0").replace(b"\0tw_shapes\0", b"\0tw_shaped\0")
    second.write_bytes(renamed)
    done = subprocess.run(["ld", "-r", "-o", str(tmp_path / "both.o"), str(first), str(second)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_small_program_is_one_part():
    module = tw.jit(lambda x: x + 1).trace(np.zeros(8, "f")).module
    code, manifest = pipeline.compile(module)
    assert sections_of_code(code) == 1
    assert runtime.Executable(code, json.dumps(manifest)).call_tuple(np.zeros(8, "f"))[0][0] == 1
