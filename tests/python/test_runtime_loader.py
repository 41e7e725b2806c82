"""Loading: what is refused, with which words, and that nothing is left behind."""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import runtime_objects as ro
import tilewright as tw
from tilewright import _runtime, runtime

pytestmark = ro.needs_cc

EMPTY = "int32_t tw_main(const TwRt *r, const TwArg *i, const TwArg *o, void *s) { return 0; }"


@pytest.mark.parametrize(
    ("source", "phrase"),
    [
        (EMPTY + "int system(const char *); int f(void) { return system(0); }", "system"),
        (EMPTY + "extern int nowhere; int f(void) { return nowhere; }", "nowhere"),
        ("int other(void) { return 0; }", "tw_main"),
    ],
)
def test_unknown_symbols_are_named(source, phrase):
    with pytest.raises(tw.FormatError, match=phrase):
        runtime.Executable(ro.compile_c(source), ro.manifest([], []))


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"not an object", bytes(4096)])
def test_not_an_object(data):
    with pytest.raises(tw.FormatError, match="cannot be loaded"):
        runtime.Executable(data, ro.manifest([], []))


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"abi": 2}, "ABI version"),
        ({"entry": None}, "'entry' is missing"),
        ({"args": 3}, "must be a list"),
        ({"args": [3]}, "must hold objects"),
        ({"args": [{"dtype": "float32", "shape": [-1]}]}, "at least 0"),
        ({"args": [{"dtype": "float32", "shape": [None], "dims": ["n"]}]}, "unknown symbol 'n'"),
        ({"args": [{"dtype": "float32", "shape": [None], "dims": []}]}, "differ in length"),
        ({"args": [{"dtype": "float32", "shape": [1] * 40}]}, "at most 32"),
        ({"args": [{"dtype": "float32", "shape": [], "kind": "odd"}]}, "kind"),
        ({"outputs": [{"dtype": "float32", "shape": [None]}]}, "nothing computes"),
        ({"outputs": [{"dtype": "float32", "shape": [], "alias": 7}]}, "alias of no input"),
        (
            {
                "args": [{"dtype": "float32", "shape": []}],
                "outputs": [{"dtype": "float32", "shape": [], "alias": 0}] * 2,
            },
            "two outputs",
        ),
        ({"symbols": {"n": {"multiple_of": 0}}}, "multiple_of"),
        ({"scratch": -1}, "scratch"),
    ],
)
def test_bad_manifest(change, phrase):
    with pytest.raises(tw.FormatError, match=phrase):
        runtime.Executable(ro.compile_c(EMPTY), {**ro.manifest([], []), **change})


def test_unknown_dtype():
    with pytest.raises(TypeError, match="complex512"):
        runtime.Executable(ro.compile_c(EMPTY), ro.manifest([ro.arg("x", [], "complex512")], []))


def test_manifest_that_is_no_json():
    with pytest.raises(tw.FormatError, match="manifest"):
        runtime.Executable(ro.compile_c(EMPTY), "{")


def test_truncated_objects_are_errors():
    data, manifest = ro.add_static()
    for length in range(0, len(data), 7):
        with pytest.raises(tw.FormatError):
            runtime.Executable(data[:length], manifest)


def test_random_manifests_never_crash():
    rng = random.Random(0)
    code, manifest = ro.add_dynamic()
    text = json.dumps(manifest)
    for _ in range(300):
        damaged = list(text)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice('{}[]",:0-n1e"')
        try:
            runtime.Executable(code, "".join(damaged))
        except (tw.TilewrightError, TypeError):
            pass


def test_all_allowed_symbols_resolve():
    names = [name for name in _runtime.allowed_symbols() if not name.startswith("__")]
    table = "".join(f'extern void {n}_(void) __asm__("{n}");' for n in names)
    refs = ", ".join(f"(void *){n}_" for n in names)
    source = f"""{table} static void *volatile all[] = {{ {refs} }};
      int32_t tw_main(const TwRt *r, const TwArg *i, const TwArg *out, void *s) {{
        for (int k = 0; k < {len(names)}; ++k) if (!all[k]) return 9;
        return 0; }}"""
    runtime.Executable(ro.compile_c(source), ro.manifest([], []))()


def half_entry(function: str, source_type: str, target_type: str) -> str:
    return f"""extern {target_type} {function}({source_type});
      int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {{
        for (int64_t k = 0; k < in[0].dims[0]; ++k)
          (({target_type} *)out[0].data)[k] = {function}((({source_type} *)in[0].data)[k]);
        return 0; }}"""


@pytest.mark.parametrize(
    ("function", "source", "target"),
    [
        ("__truncsfhf2", ("float", "float32"), ("_Float16", "float16")),
        ("__truncdfhf2", ("double", "float64"), ("_Float16", "float16")),
        ("__extendhfsf2", ("_Float16", "float16"), ("float", "float32")),
    ],
)
def test_half_conversions_match_numpy(function, source, target):
    rng = np.random.default_rng(0)
    if source[1] == "float16":
        x = np.arange(65536, dtype="uint16").view("float16")
    else:
        special = [np.inf, -np.inf, np.nan, 1e38]
        edges = np.array([2.0**-24, 2.0**-25, 65520, 65504, 6e-5], source[1])
        x = np.concatenate(
            [
                np.arange(0x7C01, dtype="uint16").view("float16").astype(source[1]),
                rng.standard_normal(20000).astype(source[1]) * 10.0 ** rng.integers(-9, 6, 20000),
                *(np.nextafter(edges, edges.dtype.type(to)) for to in (0, 1e9)),
                np.array(special),
            ]
        ).astype(source[1], copy=False)
    code = ro.compile_c(half_entry(function, source[0], target[0]))
    run = runtime.Executable(
        code, ro.manifest([ro.arg("x", [len(x)], source[1])], [ro.out([len(x)], target[1])])
    )
    with np.errstate(over="ignore"):
        expected = x.astype(target[1])
    result = run(x)
    same = (result == expected) | (np.isnan(result) & np.isnan(expected))
    assert same.all(), x[~same]


def test_code_is_unmapped_with_its_last_user():
    executable = runtime.Executable(*ro.add_static())
    ghost = weakref.ref(executable)
    del executable
    gc.collect()
    assert ghost() is None


def test_loading_often_does_not_leak():
    code, manifest = ro.add_static()
    text = json.dumps(manifest)
    for _ in range(50):
        runtime.Executable(code, text)
    before = _rss()
    for _ in range(500):
        runtime.Executable(code, text)
    assert _rss() - before < 8 << 20


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_runtime_maps_no_compiler():
    script = (
        "import tilewright.runtime; import sys;"
        "assert not any(m.startswith('tilewright._mlir') for m in sys.modules);"
        "maps = open('/proc/self/maps').read();"
        "assert 'libLLVM' not in maps and 'MLIR' not in maps and 'PythonCAPI' not in maps, maps"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_undefined_symbol_is_listed_for_objects():
    """The list and the table of addresses are one: what Symbols.def names, the loader offers."""
    text = (ro.ABI_DIR / "Symbols.def").read_text()
    for name in _runtime.allowed_symbols():
        assert f"({name})" in text


@pytest.mark.parametrize(
    ("function", "kind", "dtype"), [("__powisf2", "float", "float32"), ("__powidf2", "double", "float64")]
)
def test_integer_powers(function, kind, dtype):
    source = f"""extern {kind} {function}({kind}, int);
      int32_t tw_main(const TwRt *r, const TwArg *in, const TwArg *out, void *s) {{
        for (int k = -5; k <= 5; ++k)
          (({kind} *)out[0].data)[k + 5] = {function}(*({kind} *)in[0].data, k);
        return 0; }}"""
    run = runtime.Executable(
        ro.compile_c(source), ro.manifest([ro.arg("x", [], dtype)], [ro.out([11], dtype)])
    )
    np.testing.assert_allclose(run(1.5), 1.5 ** np.arange(-5.0, 6.0), rtol=1e-6)


PERF_SCRIPT = """
import os, sys
from tilewright import runtime
code, manifest = sys.argv[1:]
executable = runtime.Executable(open(code, "rb").read(), open(manifest).read(), "rows")
child = os.fork()
if child == 0:  # its file holds what was loaded before, too
    runtime.Executable(open(code, "rb").read(), open(manifest).read(), "columns")
    os._exit(0)
os.waitpid(child, 0)
print(os.getpid(), child)
"""


def test_perf_map(tmp_path):
    kernel = '__attribute__((noinline, noclone)) static int kernel_0(int x) { asm volatile("" : "+r"(x)); return x; }'
    source = kernel + EMPTY.replace("return 0;", "return kernel_0(0);")
    (tmp_path / "code.o").write_bytes(ro.compile_c(source))
    (tmp_path / "manifest.json").write_text(json.dumps(ro.manifest([], [])))
    command = [sys.executable, "-c", PERF_SCRIPT, str(tmp_path / "code.o"), str(tmp_path / "manifest.json")]
    maps = []
    for setting in ("1", "0"):
        environ = {**os.environ, "TILEWRIGHT_PERF": setting}
        output = subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout
        maps.append([Path(f"/tmp/perf-{process}.map") for process in output.split()])
    names = [{line.split(" ", 2)[2] for line in path.read_text().splitlines()} for path in maps[0]]
    for path in maps[0]:
        path.unlink()
    rows = {"rows:kernel_0", "rows:tw_main"}
    assert names == [rows, rows | {"columns:kernel_0", "columns:tw_main"}]
    assert not any(path.exists() for path in maps[1])
