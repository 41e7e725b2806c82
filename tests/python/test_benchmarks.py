"""The benchmark harness: references, ceilings, the worker protocol, the report. No time is judged here."""

import json
import subprocess
import sys
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_llama
from tilewright.roofline.ceilings import Ceilings

from benchmarks import load, machine, render, report, systems
from benchmarks.__main__ import main
from benchmarks.runner import Result
from benchmarks.worker import _round
from benchmarks.workload import Workload
from benchmarks.workloads import all_workloads
from benchmarks.workloads.llama_peers import Graph, q4_0_file
from benchmarks.workloads.quantised import GemvQ4
from benchmarks.workloads.sweep import MatmulSweep

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["call_add8", "softmax_4096x768"]


def test_names_of_the_speed_goals_exist():
    assert {
        "matmul_f32_512", "matmul_f32_1024", "matmul_f32_2048", "matmul_f32_8x576x1536", "matmul_bf16_1024",
        "matmul_int8_1024", "gemv_q4_4096", "smollm2_decode", "smollm2_prefill_512", "minilm_f32_1x16",
        "minilm_f32_1x128", "minilm_f32_32x128", "minilm_bf16_1x16", "minilm_bf16_32x128", "mlp_f32_1", "ranker_f32_1",
        "ranker_bf16_1", "gpt2_f32_128", "gelu_1m", "gelu_16m", "softmax_4096x768", "layernorm_4096x768", "sum_16m",
        "attention_9x512x64", "call_add8", "compile_minilm", "compile_gpt2", "compile_smollm2", "compile_two_op",
        "warm_minilm", "matmul_sweep",
    } <= set(all_workloads())  # fmt: skip


@pytest.mark.parametrize("name", ["mlp_f32_1", "mlp_bf16_1", "ranker_f32_1"])
def test_networks_mean_the_same_in_tilewright_and_numpy(name, rng):
    workload = all_workloads()[name]
    inputs = workload.inputs(rng)
    error = workload.error(workload.tilewright(*inputs)(), workload.reference(*inputs))
    assert error is not None and error <= workload.tolerance


def test_quantised_products_are_right(rng):
    workload = GemvQ4("small", 64, 96)
    inputs = workload.inputs(rng)
    error = workload.error(workload.tilewright(*inputs)(), workload.reference(*inputs))
    assert error is not None and error <= workload.tolerance


def test_first_calls_run_in_processes_of_their_own():
    answer = all_workloads()["warm_two_op"].fresh("tilewright", 1)()
    assert answer["correct"] and answer["ms"] > 0 and answer["load_ms"] > 0


def test_sweep_is_summed_up_against_a_peer(rng):
    answer = MatmulSweep("small", 3, 40).fresh("tilewright", 1)()
    assert answer["correct"] and len(answer["parts_ms"]) == 3
    ours = Result("s", "tilewright", 1, parts_ms={"a": 1.0, "b": 2.0})
    peer = Result("s", "numpy", 1, parts_ms={"a": 4.0, "b": 1.0})
    summary = report.sweep_summary(peer, [ours, peer])
    assert summary == {
        "geometric_mean": pytest.approx(2**0.5), "share_above_0.9": 0.5, "least": 0.5, "at": "b"
    }  # fmt: skip
    assert report.sweep_summary(ours, [ours, peer]) is None


@pytest.mark.parametrize("name", SMALL)
def test_numpy_agrees_with_the_reference(name, rng):
    workload = all_workloads()[name]
    inputs = workload.inputs(rng)
    assert workload.numpy_expression is not None
    error = workload.error(workload.numpy_expression(*inputs), workload.reference(*inputs))
    assert error <= workload.tolerance


def test_error_of_wrong_results_is_infinite():
    workload = Workload("w")
    reference = np.ones(4)
    assert workload.error(np.ones(3), reference) == float("inf")
    assert workload.error(np.array([1, 1, np.nan, 1]), reference) == float("inf")
    assert workload.error([np.ones(4)], reference) == 0.0


def test_a_neighbour_counts_as_our_own_load():
    before = load._own_busy_s(children=True)
    with load.neighbour():
        time.sleep(0.5)
    # Only what a process used that has ended and was waited for is in the sum.
    assert load._own_busy_s(children=True) - before > 0.1


def test_shared_rows_are_their_workloads_with_a_neighbour(rng):
    suite = all_workloads()
    shared = [w for w in suite.values() if w.neighbour]
    assert len(shared) >= 4
    for workload in shared:
        alone = suite[workload.name.removesuffix("_shared")]
        assert type(workload) is type(alone) and not alone.neighbour
    ran = _round(lambda: np.ones(8) + 1, 1, 0.1, neighbour=True)
    assert len(ran["samples_ms"]) >= 3


def test_foreign_load_is_seen():
    with load.Window() as window:
        busy = "import time\nend = time.time() + 0.6\nwhile time.time() < end: pass"
        subprocess.run([sys.executable, "-c", busy], check=True)
    assert window.foreign > load.LIMIT


def test_roof_of_a_workload():
    ceilings = Ceilings(2, {"f32": 1e12}, {"dram": 1e10})
    matmul, chain = all_workloads()["matmul_f32_1024"], all_workloads()["gelu_16m"]
    assert machine.least_ms(ceilings, matmul) == pytest.approx(2 * 1024**3 / 1e12 * 1e3)
    assert machine.least_ms(ceilings, chain) == pytest.approx(2**27 / 1e10 * 1e3)
    assert machine.least_ms(ceilings, all_workloads()["call_add8"]) is None
    assert machine.least_ms(Ceilings(2), matmul) is None


def test_table_shows_ratios_and_failures():
    ours = Result(
        "w", "tilewright", 2, p50_ms=2.0, p99_ms=3.0, compile_s=0.1, max_error=0.0, correct=True, rounds=5
    )
    peer = Result(
        "w", "numpy", 2, p50_ms=3.0, p99_ms=4.0, compile_s=0.0, max_error=0.0, correct=True, rounds=5
    )
    wrong = Result(
        "w", "torch", 2, p50_ms=1.0, p99_ms=1.0, compile_s=0.0, max_error=0.5, correct=False, rounds=5
    )
    failed = Result("w", "jax", 2, error="ImportError: no jax")
    without = Result("w", "onnxruntime", 2, not_offered="no such kernels")
    text = report.table([ours, peer, wrong, failed, without])
    assert "not offered: no such kernels" in text
    assert "1.50 ×" in text
    assert "WRONG RESULT" in text
    assert "failed: ImportError: no jax" in text
    assert report.ratio(wrong, [ours, wrong]) is None


def test_json_lines_are_plain_json():
    row = json.loads(report.json_line(Result("w", "torch", 2, max_error=float("inf"))))
    assert row["max_error"] is None
    assert row["workload"] == "w"


def test_command_line_measures_tilewright_and_a_peer(capsys, tmp_path):
    output = str(tmp_path / "bench.jsonl")
    arguments = ["call_add8", "--peers", "numpy", "--rounds", "1", "--round-seconds", "0.1", "--json"]
    assert main([*arguments, "--foreign-limit", "1e9", "--threads", "1", "--output", output]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(line) for line in Path(output).read_text().splitlines()] == rows
    assert set(rows.pop(0)) == {"machine", "threads", "flops", "read"}
    assert [row["system"] for row in rows] == ["tilewright", "numpy"]
    assert all(row["correct"] and row["p50_ms"] > 0 and row["p99_ms"] >= row["p50_ms"] for row in rows)


def test_unknown_names_are_refused():
    with pytest.raises(SystemExit, match="no workload is called"):
        main(["no_such_workload"])
    with pytest.raises(SystemExit, match="unknown system"):
        main(["call_add8", "--peers", "fortran"])


def test_every_system_has_a_preparation():
    assert set(systems._PREPARE) == set(systems.SYSTEMS)


@pytest.mark.parametrize("name", ["smollm2_decode", "smollm2_decode_int8"])
def test_decode_has_the_peers_that_users_would_take(name):
    found = {s for s in systems.SYSTEMS if systems.takes_part(all_workloads()[name], s)}
    assert {"llama_cpp", "llama_cpp_q4_0", "onnxruntime"} <= found


def test_a_file_in_q4_0_differs_by_its_rounding_alone(tmp_path):
    source = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.TinyLlama(format="q4_1"))
    before = {t.name: t for t in gguf.GGUFReader(str(source)).tensors}
    after = {t.name: t for t in gguf.GGUFReader(str(q4_0_file(source))).tensors}
    assert before.keys() == after.keys()
    kinds = {t.tensor_type for t in after.values()}
    assert gguf.GGMLQuantizationType.Q4_0 in kinds and gguf.GGMLQuantizationType.Q4_1 not in kinds
    for name, tensor in before.items():
        old, new = (gguf.dequantize(t.data, t.tensor_type) for t in (tensor, after[name]))
        assert (
            np.max(np.abs(old - new)) <= np.max(np.abs(old)) / 8
        )  # a step of Q4_0 is an eighth of the largest


def test_blocks_of_the_onnx_graph_are_those_of_the_file(tmp_path):
    """What `MatMulNBits` would compute from the graph's constants is the product with the file's weights."""
    source = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.TinyLlama(format="q4_1"))
    tensors = {t.name: t for t in gguf.GGUFReader(str(source)).tensors}
    pair = [tensors["blk.0.attn_q.weight"], tensors["blk.0.attn_k.weight"]]
    graph = Graph()
    graph.linear("x", pair)
    (_, (_, columns, scales, zeros), _, attributes) = graph.nodes[0]
    packed, d = graph.constants[columns], graph.constants[scales]
    rows, groups, half = packed.shape
    assert (rows, 2 * half * groups) == (attributes["N"], attributes["K"])
    integers = (
        np.stack([packed & 15, packed >> 4], axis=-1).reshape(rows, groups, 2 * half).astype(np.float32)
    )
    pairs = graph.constants[zeros].reshape(rows, -1)
    points = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(rows, -1)[:, :groups].astype(np.float32)
    found = ((integers - points[..., None]) * d.reshape(rows, groups, 1)).reshape(rows, -1)
    expected = np.concatenate([gguf.dequantize(t.data, t.tensor_type) for t in pair])
    # A zero point is half a step off at most.
    assert np.max(np.abs(found - expected)) <= 0.51 * d.max()


def test_results_are_rendered(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        json.dumps({"machine": {"cpu": "some CPU", "cores": 2, "python": "3.11"}, "threads": 2,
                    "flops": {"f32": 1e11}, "read": {"dram": 1e10}}),
        *(report.json_line(Result("call_add8", system, 2, version="1.0", p50_ms=ms, p99_ms=ms, max_error=0.0,
                                  correct=True, rounds=3, at="2026-01-01T00:00:00", foreign=0.1))
          for system, ms in (("tilewright", 9.0), ("numpy", 2.0), ("tilewright", 1.0))),
        report.json_line(Result("call_add8", "jax", 2, error="ImportError: no jax")),
    ]  # fmt: skip
    source = tmp_path / "bench.jsonl"
    source.write_text("\n".join(rows) + "\n")
    assert render.main([str(source), "--folder", str(tmp_path / "page")]) == 0
    text = (tmp_path / "page" / "results.md").read_text()
    assert "some CPU" in text and "f32 100 GFLOP/s" in text
    # The later of two measurements counts: 2 ms over 1 ms.
    assert "| `call_add8` | 2 | 1 ms | numpy 2 ms | 2.00 × |" in text
    assert (tmp_path / "page" / "results.svg").stat().st_size > 1000
    # What was written can be read again.
    assert render.main([str(tmp_path / "page" / "results.jsonl"), "--folder", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "results.md").read_text() == text


def test_nothing_to_render(tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert render.main([str(empty)]) == 2
    assert "no results" in capsys.readouterr().err
