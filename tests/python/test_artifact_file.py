"""Saved programs and exports: what is saved comes back, what is damaged is refused."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import runtime
from tilewright.runtime import artifact, container, export, features

pytestmark = ro.needs_cc
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "export_c"
A = np.arange(8, dtype="float32")

SCALE = """
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  for (int64_t i = 0; i < out[0].dims[0]; ++i)
    ((float *)out[0].data)[i] = ((float *)in[0].data)[i] * ((float *)in[1].data)[i] + ((float *)in[2].data)[i];
  return 0;
}
int32_t tw_load_0(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  for (int64_t i = 0; i < 8; ++i) ((float *)out[0].data)[i] = 10 * ((float *)in[0].data)[i];
  return 0;
}
"""


def scale():
    """x * (10 * w) + b, with w packed by a load entry and b used raw."""
    args = [
        ro.arg("x", [8]),
        ro.arg("w_packed", [8], kind="weight", weight="w", packed_by=0, sources=["w"]),
        ro.arg("b", [8], kind="weight", weight="b"),
    ]
    loads = [
        {"entry": "tw_load_0", "shapes": None, "key": "k0", "args": [ro.arg("w", [8])], "output": ro.out([8])}
    ]
    return runtime.Executable(ro.compile_c(SCALE), ro.manifest(args, [ro.out([8])], loads=loads))


@pytest.fixture
def bound():
    return scale().bind({"w": A, "b": A + 1})


def test_round_trip(tmp_path):
    add = runtime.Executable(*ro.add_dynamic())
    program = artifact.Program(add, bytecode=b"traced", info={"in_tree": ["*", "*"]})
    runtime.save(tmp_path / "add.tw", {"main": program}, info={"flops": 8})
    loaded = runtime.load(tmp_path / "add.tw")
    np.testing.assert_array_equal(loaded(A, A), A + A)
    assert loaded.bytecode() == b"traced"
    assert loaded.program_info["main"] == {"in_tree": ["*", "*"]} and loaded.info == {"flops": 8}
    assert list(loaded) == ["main"]


def test_weights_are_saved_packed_and_once(tmp_path, bound):
    path = tmp_path / "model.tw"
    again = scale().bind({"w": A, "b": A + 2})
    runtime.save(path, {"prefill": bound, "decode": again})
    loaded = runtime.load(path)
    np.testing.assert_array_equal(loaded["prefill"](A), bound(A))
    np.testing.assert_array_equal(loaded["decode"](A), again(A))
    packed = [loaded[name].bound_arrays()[1] for name in loaded]
    assert packed[0].__array_interface__["data"] == packed[1].__array_interface__["data"]
    assert packed[0].__array_interface__["data"][0] % 4096 == 0
    assert not packed[0].flags.writeable


def test_without_weights(tmp_path, bound):
    runtime.save(tmp_path / "m.tw", {"main": bound}, include_weights=False)
    loaded = runtime.load(tmp_path / "m.tw").bind({"w": A, "b": A})
    np.testing.assert_array_equal(loaded(A), A * 10 * A + A)


def test_weights_in_another_file(tmp_path, bound):
    raw = tmp_path / "weights.bin"
    raw.write_bytes(bytes(12) + (A + 1).tobytes())
    reference = artifact.FileArray("weights.bin", 12, "float32", (8,), raw.stat().st_size)
    path = tmp_path / "m.tw"
    runtime.save(path, {"main": bound}, weights={"b": reference})
    np.testing.assert_array_equal(runtime.load(path)(A), bound(A))
    np.testing.assert_array_equal(runtime.load(path).weights["b"], A + 1)
    raw.write_bytes(bytes(13))
    with pytest.raises(tw.FormatError, match="not the 44 they had"):
        runtime.load(path)
    raw.unlink()
    with pytest.raises(tw.FormatError, match="cannot read weights"):
        runtime.load(path)


def test_named_arrays(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    arrays = {
        "a": A.reshape(2, 4),
        "b": np.zeros((0, 3)),
        "c": np.ones(3, ml_dtypes.bfloat16),
        "d": np.array(1),
    }
    runtime.save(tmp_path / "m.tw", {}, weights=arrays)
    loaded = runtime.load(tmp_path / "m.tw").weights
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype


def test_unknown_program(tmp_path, bound):
    runtime.save(tmp_path / "m.tw", {"prefill": bound, "decode": bound})
    loaded = runtime.load(tmp_path / "m.tw")
    with pytest.raises(tw.ArgumentError, match="did you mean 'prefill'"):
        loaded["prefil"]
    with pytest.raises(tw.ArgumentError, match="several programs"):
        loaded(A)


def test_failed_save_leaves_nothing(tmp_path, bound):
    with pytest.raises(TypeError):
        runtime.save(tmp_path / "m.tw", {"main": bound}, info={"x": object()})
    assert list(tmp_path.iterdir()) == []


# ---- damage


def small(path):
    runtime.save(path, {"main": scale().bind({"w": A, "b": A})}, weights={"more": A})
    return path.read_bytes()


def test_truncation(tmp_path):
    path = tmp_path / "m.tw"
    good = small(path)
    for length in [*range(0, 200), *range(200, len(good), 97)]:
        path.write_bytes(good[:length])
        with pytest.raises(tw.FormatError):
            runtime.load(path)


def test_bit_flips(tmp_path):
    path = tmp_path / "m.tw"
    good = small(path)
    expected = runtime.load(path)(A)
    rng = random.Random(1)
    for position in [*range(200), *(rng.randrange(len(good)) for _ in range(400))]:
        bad = bytearray(good)
        bad[position] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        try:
            result = runtime.load(path)(A)
        except tw.FormatError:
            continue
        np.testing.assert_array_equal(result, expected)  # padding


def rewrite(path, change):
    """Change the header and give it a right checksum: what a hostile file looks like."""
    good = path.read_bytes()
    length = int.from_bytes(good[12:16], "little")
    tree = json.loads(good[48 : 48 + length])
    change(tree)
    header = json.dumps(tree).encode()[:length].ljust(length)
    path.write_bytes(good[:16] + hashlib.sha256(header).digest() + header + good[48 + length :])


HOSTILE = [
    lambda t: t["sections"][0].update(offset=-1),
    lambda t: t["sections"][0].update(offset=1 << 60),
    lambda t: t["sections"][0].update(size=1e9),
    lambda t: t["sections"][0].update(size=True),
    lambda t: t["sections"].append(t["sections"][0]),
    lambda t: t["sections"].append(3),
    lambda t: t.pop("meta"),
    lambda t: t["meta"].pop("programs"),
    lambda t: t["meta"].update(programs=[1]),
    lambda t: t["meta"].update(arrays=7),
    lambda t: t["meta"]["programs"]["main"].update(object="array0"),
    lambda t: t["meta"]["programs"]["main"].update(object="none"),
    lambda t: t["meta"]["programs"]["main"].update(bytecode="none"),
    lambda t: t["meta"]["programs"]["main"].update(bound={"9": 0}),
    lambda t: t["meta"]["programs"]["main"].update(bound={"x": 0}),
    lambda t: t["meta"]["programs"]["main"].update(bound={"1": 99}),
    lambda t: t["meta"]["programs"]["main"].update(bound={"1": -1}),
    lambda t: t["meta"]["arrays"][0].update(shape=[1 << 47, 1 << 47]),
    lambda t: t["meta"]["arrays"][0].update(shape=[-8]),
    lambda t: t["meta"]["arrays"][0].update(shape=[7]),
    lambda t: t["meta"]["arrays"][0].update(shape="8"),
    lambda t: t["meta"]["arrays"][0].update(dtype="object"),
    lambda t: t["meta"]["arrays"].__setitem__(0, {"file": {"path": "/etc/passwd"}}),
    lambda t: t["meta"]["arrays"].__setitem__(0, 5),
]


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_hostile_header(tmp_path, case):
    path = tmp_path / "m.tw"
    small(path)
    rewrite(path, HOSTILE[case])
    with pytest.raises(tw.TilewrightError):
        runtime.load(path)


def test_deeply_nested_header(tmp_path):
    path = tmp_path / "m.tw"
    good = small(path)
    length = int.from_bytes(good[12:16], "little")
    header = b"[" * length
    path.write_bytes(good[:16] + hashlib.sha256(header).digest() + header + good[48 + length :])
    with pytest.raises(tw.FormatError):
        runtime.load(path)


def test_other_files(tmp_path):
    path = tmp_path / "m.tw"
    small(path)
    data = path.read_bytes()
    for bad, phrase in [
        (b"", "empty"),
        (b"GGUF" + data, "not such a file"),
        (data[:8] + (2).to_bytes(4, "little") + data[12:], "a newer Tilewright"),
        (data[:12] + (1 << 31).to_bytes(4, "little") + data[16:], "truncated"),
    ]:
        path.write_bytes(bad)
        with pytest.raises(tw.FormatError, match=phrase):
            runtime.load(path)
    with pytest.raises(FileNotFoundError):
        runtime.load(tmp_path / "none.tw")


def test_large_weights_are_verified_on_request(tmp_path):
    path = tmp_path / "m.tw"
    runtime.save(path, {}, weights={"big": np.zeros(5 << 20, "float32")})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    runtime.load(path)
    with pytest.raises(tw.FormatError, match="array0"):
        runtime.load(path, verify=True)


def test_processor_features(tmp_path):
    code, manifest = ro.add_static()
    needs = runtime.Executable(code, {**manifest, "cpu": "somecpu", "features": "+avx2,+amx-tile,-sse4a"})
    path = tmp_path / "m.tw"
    runtime.save(path, {"main": needs})
    if features.missing("+amx-tile"):
        with pytest.raises(tw.DeviceError, match=r"somecpu, this processor lacks .*amx-tile"):
            runtime.load(path)
    assert features.missing("+avx2,+prfchw,+x87,-fma4", frozenset({"sse"})) == ["avx2"]
    assert features.missing("+bmi,+lzcnt", frozenset({"bmi1", "abm"})) == []
    assert features.missing("+avx2", frozenset()) == []


def test_container_offsets_fit_any_number_of_sections(tmp_path):
    for count in (0, 1, 100, 1000):
        path = tmp_path / "c"
        with open(path, "wb") as file:
            parts = [container.Section(str(i), bytes([i % 256]) * i) for i in range(count)]
            container.write(file, b"12345678", 1, {}, parts)
        found = container.read(path, b"12345678", 1)
        assert all(bytes(found.section(str(i))) == bytes([i % 256]) * i for i in range(count))


# ---- export


def test_export_runs_in_c(tmp_path):
    source = ro.ADD.replace("a[i] + b[i]", "2 * a[i] + b[i]").replace("out[1] = 0", "out[1] = 64")
    args = [ro.arg("x", [None], dims=["n"]), ro.arg("y", [None], dims=["n"])]
    symbols = {"n": {"min": 1, "max": None, "multiple_of": 1}}
    manifest = ro.manifest(args, [{**ro.out([None]), "dims": ["n"]}], symbols=symbols, shapes="tw_shapes")
    axpy = runtime.Executable(ro.compile_c(source), manifest)
    files = export.export(axpy, tmp_path / "out", "axpy")
    assert {path.name for path in files} >= {"axpy.o", "axpy.h", "axpy.json", "Abi.h", "tilewright_rt.c"}
    assert "float [n]   (n >= 1)" in (tmp_path / "out" / "axpy.h").read_text()
    build = [
        *(ro.CC, "-std=c11", "-Wall", "-Werror", f"-I{tmp_path / 'out'}", str(EXAMPLE / "main.c")),
        *(str(tmp_path / "out" / "axpy.o"), str(tmp_path / "out" / "tilewright_rt.c"), "-lm"),
        *("-o", str(tmp_path / "run")),
    ]
    subprocess.run(build, check=True)
    assert subprocess.run([tmp_path / "run"], check=True, capture_output=True).stdout == b"1 3 5 7 9 \n"


def test_exported_object_loads_again(tmp_path, bound):
    export.export(bound, tmp_path, "scaled")
    manifest = json.loads((tmp_path / "scaled.json").read_text())
    assert manifest["entry"] == "scaled_main" and manifest["loads"][0]["entry"] == "scaled_load_0"
    again = runtime.Executable((tmp_path / "scaled.o").read_bytes(), manifest).bind({"w": A, "b": A + 1})
    np.testing.assert_array_equal(again(A), bound(A))
    header = (tmp_path / "scaled.h").read_text()
    assert "scaled_weights[2][3] = {{1, 0, 32}, {2, 64, 32}}" in header
    weights = (tmp_path / "scaled.weights").read_bytes()
    np.testing.assert_array_equal(np.frombuffer(weights, "float32", 8), 10 * A)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "bool"])
def test_exported_header_is_one_comment(tmp_path, dtype):
    compiled = tw.jit(lambda x: x).lower(tw.spec((4,), dtype)).compile()
    export.export(compiled.executable, tmp_path, "same")
    head = (tmp_path / "same.h").read_text().split("#ifndef")[0]
    assert head.count("*/") == 1 and head.strip().endswith("*/")


def test_export_name():
    with pytest.raises(tw.ArgumentError, match="no C identifier"):
        export.export(scale(), "unused", "my-model")


def test_rename_symbols_refuses_other_files():
    for data in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(60), b"MZ" * 100):
        if data[:6] == b"\x7fELF\x02\x01":
            assert len(export.rename_symbols(data, {"a": "b"})) == len(data)
        else:
            with pytest.raises(tw.FormatError):
                export.rename_symbols(data, {})
