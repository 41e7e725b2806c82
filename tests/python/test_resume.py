"""Dumps: each stage is written, an edited one takes its stage's place, and any of them can be compiled."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tilewright as tw
from planted import plant
from tilewright import cli, config, pipeline, runtime, stages
from tilewright.mlir import mlir


def add(a, b):
    return a + b


def everything(x, w, i):
    """Packed weights, an unsigned input, a boolean output, a failure at run time, a symbolic size."""
    return tw.tanh(x @ w), tw.take(x, i, axis=0, mode="raise"), x > 0


@pytest.fixture
def pair():
    return np.arange(20, dtype=np.float32), np.linspace(5, 9, 20, dtype=np.float32)


@pytest.fixture
def dumped(tmp_path, pair):
    """The folder that `TILEWRIGHT_DUMP` fills for `add`, and the folder above it."""
    with config.override(cache=False, dump=tmp_path / "dump"):
        tw.jit(add)(*pair)
    (folder,) = (tmp_path / "dump").iterdir()
    return folder


def names(folder):
    return [path.name for path in sorted(folder.iterdir())]


ALL = [f"{i:02}-{name}.mlir" for i, name in enumerate(stages.NAMES)]


# ---- dumps --------------------------------------------------------------------------------------------


def test_every_stage_is_dumped(dumped):
    assert names(dumped) == ALL
    for path in dumped.iterdir():
        assert f'tw.stage = "{path.stem[3:]}"' in path.read_text()


def test_programs_do_not_overwrite_each_other(tmp_path, pair):
    with config.override(dump=tmp_path):
        jitted = tw.jit(add)
        jitted(*pair)
        jitted(*(x[:3] for x in pair))  # another size is another program
        tw.jit(lambda a: a * a)(pair[0])
    folders = names(tmp_path)
    assert len(folders) == 3 and sum(name.startswith("add-") for name in folders) == 2
    assert all(names(tmp_path / folder) == ALL for folder in folders)


def test_text_of_a_stage_dumps_the_way_to_it(tmp_path, pair):
    with config.override(dump=tmp_path):
        tw.jit(add).trace(*pair).lower("cpu").as_text("linalg")
    (folder,) = tmp_path.iterdir()
    assert names(folder) == ALL[:3]


# ---- overrides ----------------------------------------------------------------------------------------


def edit(dumped, stage):
    """Copy one stage to a folder of overrides, with its addition made a subtraction."""
    name = ALL[stages.NAMES.index(stage)]
    folder = dumped.parents[1] / "edited" / dumped.name
    folder.mkdir(parents=True)
    (folder / name).write_text(plant(stage, (dumped / name).read_text()))
    return folder.parent


@pytest.mark.parametrize("stage", stages.NAMES[1:])
def test_an_edited_stage_takes_its_place(dumped, pair, stage, caplog):
    a, b = pair
    with config.override(override=edit(dumped, stage)), caplog.at_level(logging.INFO, "tilewright.compile"):
        np.testing.assert_array_equal(tw.jit(add)(a, b), a - b)
        np.testing.assert_array_equal(tw.jit(lambda a, b: (a + b) * 2)(a, b), (a + b) * 2)  # another program
    assert f"stage {stage} is taken from" in caplog.text
    # What was edited went into no cache.
    np.testing.assert_array_equal(tw.jit(add)(a, b), a + b)


def test_a_dump_shows_the_edited_stage(dumped, tmp_path, pair):
    with config.override(override=edit(dumped, "kernels"), dump=tmp_path / "again"):
        tw.jit(add)(*pair)
    (folder,) = (tmp_path / "again").iterdir()
    assert "arith.subf" in (folder / "03-kernels.mlir").read_text()
    assert "arith.addf" in (folder / "02-linalg.mlir").read_text()


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("nonsense", "no module: line 1:1: custom op"),
        ("module {}", "carries no tw.stage"),
        ('module attributes {tw.stage = "tiled"} {}', "is at stage 'tiled', not 'linalg'"),
    ],
)
def test_an_override_of_no_use_is_an_error(dumped, pair, text, phrase):
    folder = edit(dumped, "linalg")
    file = folder / dumped.name / "02-linalg.mlir"
    file.write_text(text)
    with config.override(override=folder), pytest.raises(tw.FormatError) as info:
        tw.jit(add)(*pair)
    assert phrase in str(info.value) and str(file) in str(info.value)


def test_dumps_and_overrides_need_two_folders(dumped, pair):
    root = dumped.parent
    with (
        config.override(override=root, dump=root),
        pytest.raises(tw.ArgumentError, match="cannot be that of"),
    ):
        tw.jit(add)(*pair)


# ---- resuming -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Dumps of a program with everything a manifest can say, its manifest, and its code."""
    folder = tmp_path_factory.mktemp("whole")
    n = tw.Dim("n", max=100)
    specs = tw.spec((n, 24), "float32"), tw.spec((24, 70), "float32"), tw.spec((3,), "uint8")
    traced = tw.jit(everything, weight_argnums=1).trace(*specs)
    code, manifest = pipeline.compile(traced.module, "cpu", pipeline.Options(dump=str(folder)))
    return folder, code, json.loads(json.dumps(manifest))


@pytest.mark.parametrize("stage", stages.NAMES)
def test_every_dump_compiles_to_the_same(whole, stage, tmp_path, capsys):
    folder, code, manifest = whole
    file = folder / ALL[stages.NAMES.index(stage)]
    assert cli.main(["compile", str(file), "-o", str(tmp_path / "out.o")]) == 0, capsys.readouterr().err
    assert (tmp_path / "out.o").read_bytes() == code
    again = json.loads((tmp_path / "out.json").read_text())
    # The report on kernels is made where `select` decides; a later start has none.
    informative = (
        ("seconds",) if stages.NAMES.index(stage) <= stages.NAMES.index("kernels") else ("seconds", "kernels")
    )
    for key in manifest:
        assert key in informative or again[key] == manifest[key], key


@pytest.mark.parametrize("stage", ["kernels", "llvm"])
def test_what_was_resumed_runs(whole, stage, rng):
    folder, _, _ = whole
    text = (folder / ALL[stages.NAMES.index(stage)]).read_text()
    code, manifest = pipeline.compile(pipeline.parse(text, "dump", mlir().context))
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 24), (24, 70)))
    program = runtime.Executable(code, manifest).bind({"w": w})
    y, rows, positive = program.call_tuple(x, np.array([4, 0, 2], np.uint8))
    np.testing.assert_allclose(y, np.tanh(x @ w), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(rows, x[[4, 0, 2]])
    np.testing.assert_array_equal(positive, x > 0)
    with pytest.raises(tw.IndexRangeError, match=r"test_resume\.py"):
        program.call_tuple(x, np.array([4, 0, 5], np.uint8))


def test_opt_goes_stage_by_stage(whole, tmp_path, capsys):
    """`tilewright opt` from each dump to the next is the pipeline, one row at a time."""
    folder, code, _ = whole
    file = folder / ALL[0]
    for name in stages.NAMES[1:]:
        result = tmp_path / f"{name}.mlir"
        assert cli.main(["opt", str(file), f"--to={name}", "-o", str(result), "--locations"]) == 0
        file = result
    assert cli.main(["compile", str(file), "-o", str(tmp_path / "out.o")]) == 0, capsys.readouterr().err
    assert (tmp_path / "out.o").read_bytes() == code


KERNELS = """module attributes {{tw.stage = "{stage}"}} {{
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {attributes}{{ return %x : tensor<4xf32> }}
}}"""


def test_a_module_by_hand_needs_no_manifest():
    module = pipeline.parse(KERNELS.format(stage="linalg", attributes=""), "by hand", mlir().context)
    _, manifest = pipeline.compile(module)
    assert [a["shape"] for a in manifest["args"]] == [[4]] and manifest["args"][0]["name"] == "arg0"


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (
            KERNELS.format(stage="linalg", attributes="attributes {tw.dropped_arguments = array<i64: 1>} "),
            "names the weights that it packs",
        ),
        ('module attributes {tw.stage = "llvm"} {}', "what its object takes and returns"),
    ],
)
def test_a_module_that_does_not_say_what_it_takes(tmp_path, capsys, text, phrase):
    file = tmp_path / "a.mlir"
    file.write_text(text)
    assert cli.main(["compile", str(file)]) == 2
    err = capsys.readouterr().err
    assert phrase in err and "tw.manifest" in err and "Traceback" not in err
    assert not Path(tmp_path / "a.o").exists()
