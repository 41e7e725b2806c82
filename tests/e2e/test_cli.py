"""The command line: one clear line for mistakes, text on stdout, figures on stderr."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_llama
from model_files import SMOLLM2, needs_smollm2
from tilewright import cli, stages


def run(*arguments, stdin=None, **environment):
    """Run the command in a process of its own."""
    code = "import sys; from tilewright.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        input=stdin,
        env={**os.environ, **environment},
        timeout=600,
    )


def call(capsys, *arguments):
    """Run the command in this process: (exit code, stdout, stderr)."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_llama.write(tmp_path_factory.mktemp("cli") / "tiny.gguf")


@pytest.mark.parametrize(
    "arguments, phrase",
    [
        (["bogus"], "invalid choice: 'bogus'"),
        (["generate"], "required: MODEL.gguf, --prompt"),
        (["generate", "nope.gguf", "--prompt", "x"], "nope.gguf: No such file"),
        (["generate", os.curdir, "--prompt", "x"], "Is a directory"),
        (["generate", __file__, "--prompt", "x"], "no GGUF file"),
        (["generate", "x", "--prompt", "x", "--max-tokens", "0"], "expected a positive integer, not '0'"),
        (
            ["generate", "x", "--prompt", "x", "--max-tokens", "many"],
            "expected a positive integer, not 'many'",
        ),
        (["generate", "x", "--prompt", "x", "--threads", "-1"], "expected a positive integer"),
        (["generate", "x", "--prompt", "x", "--temperature", "warm"], "invalid float value: 'warm'"),
        (["generate", "x", "--prompt", "x", "--temperature", "-1"], "temperature must be"),
        (["generate", "x", "--prompt", "x", "--top-p", "2"], "top_p must be"),
        (["generate", "x", "--prompt", "x", "--system", "y"], "--system needs --chat"),
        (["generate", "x", "--prompt", "x", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["opt", "--to=linalg", "nope.mlir"], "nope.mlir: No such file"),
        (["opt", "--to=nowhere", "x"], "invalid choice: 'nowhere'"),
        (["compile", "nope.mlir"], "nope.mlir: No such file"),
        (["explain", "nope.py"], "nope.py: no such file"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(capsys, arguments, phrase):
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == ""
    assert phrase in err and err.startswith("tilewright") and err.count("\n") == 1 and "Traceback" not in err


def test_help_names_every_command(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for name in (
        "generate",
        "cache",
        "opt",
        "pipeline",
        "compile",
        "bench-compile",
        "explain",
        "roofline",
        "config",
        "version",
    ):
        assert name in out
    assert call(capsys)[1] == out


def test_config_shows_what_is_in_force():
    result = run("config", TILEWRIGHT_NUM_THREADS="3")
    assert result.returncode == 0 and "TILEWRIGHT_NUM_THREADS" in result.stdout and " 3 " in result.stdout


def test_version(capsys):
    code, out, _ = call(capsys, "version")
    assert code == 0 and "tilewright" in out and "toolchain" in out and "numpy" in out
    assert call(capsys, "--version")[1] == out


def test_pipeline_prints_every_stage(capsys):
    code, out, _ = call(capsys, "pipeline")
    assert code == 0
    for stage in stages.STAGES:
        assert f"{stage.name}\n" in out
        for row in stage.passes:
            assert row.pipeline in out and row.reason in out
    assert all(line.startswith("tw-opt") for line in call(capsys, "pipeline", "--commands")[1].splitlines())


def test_cache_is_a_command(capsys):
    code, out, _ = call(capsys, "cache", "ls")
    assert code == 0 and "entries" in out


# ---- modules -------------------------------------------------------------------------------------------------------

MODULE = """module attributes {tw.stage = "traced"} {
  func.func @main(%x: tensor<4xf32> {tw.name = "x"}) -> tensor<4xf32> {
    %0 = tw.exp %x : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "a.mlir"
    path.write_text(MODULE)
    return path


def test_opt_runs_named_stages(capsys, module):
    code, out, _ = call(capsys, "opt", "--to=linalg", module)
    assert code == 0 and 'tw.stage = "linalg"' in out and "linalg.generic" in out
    module.write_text(out)
    code, out, err = call(capsys, "opt", "--to=kernels", module, "--timing")
    assert code == 0 and "tw.kernel" in out and "kernels" in err and "ms" in err
    module.write_text(out)
    code, _, err = call(capsys, "opt", "--to=tensor", module)
    assert code == 2 and "lowering goes one way" in err


def test_opt_reads_stdin_and_writes_files(tmp_path):
    target = tmp_path / "out.mlir"
    result = run("opt", "--to=tensor", "-", "-o", target, stdin=MODULE)
    assert result.returncode == 0 and result.stdout == ""
    assert 'tw.stage = "tensor"' in target.read_text()


@pytest.mark.parametrize("text, phrase", [("nonsense", "no module"), ("module {}", "carries no tw.stage")])
def test_files_that_are_no_modules(capsys, module, text, phrase):
    module.write_text(text)
    code, _, err = call(capsys, "opt", "--to=linalg", module)
    assert code == 2 and phrase in err and "a.mlir" in err and "Traceback" not in err


def test_compile_resumes_a_dump(capsys, module, tmp_path):
    module.write_text(call(capsys, "opt", "--to=kernels", module)[1])
    code, out, _ = call(capsys, "compile", module, "-o", tmp_path / "a.o")
    assert code == 0 and "bytes" in out
    assert (tmp_path / "a.o").read_bytes()[:4] == b"\x7fELF"
    assert json.loads((tmp_path / "a.json").read_text())["entry"] == "tw_main"


def test_explain_runs_a_script(tmp_path):
    script = tmp_path / "s.py"
    script.write_text(
        "import sys\nimport numpy as np, tilewright as tw\n"
        "@tw.jit\ndef double(x):\n    return x + x\n"
        "print(double(np.ones(3, 'f')).tolist(), sys.argv[1])\n"
    )
    result = run("explain", script, "word")
    assert result.returncode == 0, result.stderr
    assert "[2.0, 2.0, 2.0] word" in result.stdout and "double" in result.stdout
    assert "at least" not in result.stdout
    result = run("explain", "--roof", script, "word")
    assert result.returncode == 0, result.stderr
    (bound,) = re.findall(
        r"at least +([\d.e-]+) µs, bound by reads and writes of memory on \d+ threads", result.stdout
    )
    # 24 bytes, at something between 1 and 1000 GB/s.
    assert 24e-6 <= float(bound) <= 24e-3


def test_explain_under_the_roof_takes_the_sizes_of_most_calls(tmp_path):
    script = tmp_path / "s.py"
    script.write_text(
        "import numpy as np, tilewright as tw\n"
        "@tw.jit(dynamic=True)\ndef double(x):\n    return x + x\n"
        "for n in (3, 5, 5):\n    double(np.ones(n, 'f'))\n"
    )
    result = run("explain", "--roof", script)
    assert result.returncode == 0, result.stderr
    assert "= 5: 1 kernels" in result.stdout and "40 bytes" in result.stdout
    assert "dynamic sizes" not in result.stdout


def test_explain_of_a_script_that_compiles_nothing(capsys, tmp_path):
    script = tmp_path / "s.py"
    script.write_text("print('hello')\n")
    code, out, err = call(capsys, "explain", script)
    assert code == 2 and "hello" in out and "compiled no function" in err


# ---- generate ------------------------------------------------------------------------------------------------------


def test_generate_streams_text_and_reports(model):
    result = run("generate", model, "--prompt", "the sea", "--max-tokens", "5", "--ignore-eos", NO_COLOR="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("\n")
    for phrase in ("prefill", "decode", "tokens/s", "peak memory", "threads"):
        assert phrase in result.stderr
    assert "\x1b" not in result.stdout + result.stderr, "nothing is drawn where nobody looks"


def test_generate_json_is_one_object(model):
    arguments = ["generate", model, "--prompt", "the sea", "--max-tokens", "5", "--ignore-eos", "--json"]
    result = run(*arguments, "--threads", "1")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == [
        "prompt_ids", "token_ids", "text", "prefill_tokens_per_s", "decode_tokens_per_s",
        "compile_s", "load_s", "peak_rss_mb", "threads",
    ]  # fmt: skip
    assert len(answer["token_ids"]) == 5 and answer["threads"] == 1
    assert all(
        answer[key] > 0 for key in ("prefill_tokens_per_s", "decode_tokens_per_s", "load_s", "peak_rss_mb")
    )
    assert json.loads(run(*arguments).stdout)["token_ids"] == answer["token_ids"]


def test_generate_reads_the_prompt_from_stdin(model):
    same = [
        json.loads(run("generate", model, "--prompt", p, "--max-tokens", "3", "--json", stdin="tea").stdout)
        for p in ("-", "tea")
    ]
    assert same[0]["prompt_ids"] == same[1]["prompt_ids"]


def test_sampling_flags(model):
    def tokens(*flags):
        out = run(
            "generate", model, "--prompt", "a", "--max-tokens", "8", "--ignore-eos", "--json", *flags
        ).stdout
        return json.loads(out)["token_ids"]

    assert tokens("--temperature", "50", "--seed", "1") == tokens("--temperature", "50", "--seed", "1")
    assert tokens("--temperature", "50", "--seed", "1") != tokens("--temperature", "50", "--seed", "2")
    assert tokens("--temperature", "50", "--top-k", "1", "--seed", "3") == tokens()


def test_prompt_longer_than_the_context(model):
    result = run("generate", model, "--prompt", "x" * 20, "--context", "8")
    assert result.returncode == 2 and "20 tokens but the context 8" in result.stderr
    assert result.stderr.count("\n") == 1


def test_chat_without_a_template(model):
    result = run("generate", model, "--prompt", "hi", "--chat")
    assert result.returncode == 2 and "'tokenizer.chat_template' is missing" in result.stderr


def test_a_warm_start_loads_no_compiler(model):
    run("generate", model, "--prompt", "a", "--max-tokens", "2")
    code = (
        "import sys; from tilewright.cli import main; from pathlib import Path\n"
        "main(sys.argv[1:]); maps = Path('/proc/self/maps').read_text()\n"
        "assert 'libTilewright' not in maps and '_mlir' not in maps, 'compiler mapped'\n"
        "assert 'tilewright._mlir' not in sys.modules"
    )
    arguments = [str(a) for a in ("generate", model, "--prompt", "a", "--max-tokens", "2")]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


def test_damaged_model(model, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(Path(model).read_bytes()[:-1000])
    result = run("generate", path, "--prompt", "a")
    assert result.returncode == 2 and "truncated" in result.stderr and result.stderr.count("\n") == 1


@needs_smollm2
@pytest.mark.slow
@pytest.mark.model
def test_chat_with_a_real_model(tmp_path):
    arguments = [
        "generate",
        SMOLLM2,
        "--chat",
        "--prompt",
        "What is the capital of France?",
        "--max-tokens",
        "24",
    ]
    cache = {"TILEWRIGHT_CACHE_DIR": str(tmp_path)}  # its own: the first start has to compile
    answer = json.loads(run(*arguments, "--json", **cache).stdout)
    assert "Paris" in answer["text"]
    again = json.loads(run(*arguments, "--json", **cache).stdout)
    assert again["token_ids"] == answer["token_ids"]
    assert again["compile_s"] + again["load_s"] <= 1.5, "a warm start, weights read and packed"
    # A fraction of what compiling takes, so that other work on the machine does not decide about the test.
    assert again["compile_s"] + again["load_s"] < 0.3 * answer["compile_s"], (
        "the second start needs no compiler"
    )
