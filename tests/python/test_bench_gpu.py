"""The benchmark for GPUs works from end to end, on a driver without one; its numbers mean nothing here."""

from __future__ import annotations

import dataclasses
import json
import types

import numpy as np
import pytest
from tilewright import _runtime
from tilewright.runtime import devices

from benchmarks.gpu import __main__ as bench
from benchmarks.gpu import cases, decode, peers, table, timing


def test_dry_run(fake_gpu, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)
    output = tmp_path / "numbers.json"
    assert bench.main(["--dry-run", "--peers", "", "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found = json.loads(output.read_text())
    assert list(found["cases"]) == [case.name for case in cases.everything(small=True)]
    for name, case in found["cases"].items():
        row = case["results"]["tilewright"]
        assert row["seconds"] > 0 and row["first"] > 0 and name in printed.out
    assert fake_gpu.fault is None


def test_without_a_gpu(capsys):
    _runtime.set_cuda_driver("libno-such-driver.so")
    assert bench.main([]) == 3
    assert "no GPU to measure on: there is no NVIDIA driver" in capsys.readouterr().err
    _runtime.set_cuda_driver("libcuda.so.1")


def test_without_a_gpu_a_dry_run_lists_the_rows(capsys):
    _runtime.set_cuda_driver("libno-such-driver.so")
    assert bench.main(["--dry-run"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    _runtime.set_cuda_driver("libcuda.so.1")
    wanted = cases.everything(small=False)
    assert len(rows) == len(wanted)
    for row, case in zip(rows, wanted, strict=True):
        assert row.startswith(case.name) and row.split()[-1] == "absent"
        assert row.count("absent") == len(peers.COLUMNS)


def test_cells():
    def cell(unit, row, amount=1e12, limits=types.MappingProxyType({"bytes": 2e12, "flops": 4e12})):
        return table.cell(unit, amount, row, limits)

    assert cell("bytes", {"seconds": 1.0}) == "1.00 TB/s  50%"
    assert cell("flops", {"seconds": 0.5}) == "2.00 TFLOP/s  50%"
    assert cell("flops", {"seconds": 0.5}, limits={}) == "2.00 TFLOP/s"
    assert cell("calls", {"seconds": 3e-6}) == "3.00 us"
    assert cell("tokens", {"seconds": 0.002}, amount=1e9) == "500 tokens/s  25%"
    assert cell("bytes", {"error": 0.5}) == "WRONG 5e-01"
    assert cell("bytes", {"problem": "RuntimeError"}) == "RuntimeError"
    assert cell("bytes", {}) == "-" and cell("bytes", None) == "absent"


def test_summary():
    def case(unit, **seconds):
        return {"unit": unit, "results": {name: {"seconds": value} for name, value in seconds.items()}}

    found = table.summary(
        {
            "product a": case("flops", tilewright=1.0, torch=0.5),
            "product b": case("flops", tilewright=1.0, torch=2.0),
            "product c": case("flops", tilewright=1.0),
            "x * 2": case("bytes", tilewright=1.0, torch=3.0),
            "decode": {"unit": "tokens", "results": {"tilewright": {"seconds": 1.0}, "torch.compile": {"seconds": 2.5}}},
            "decode, no graph": case("tokens", tilewright=1.0),
        }
    )  # fmt: skip
    assert found == [
        "products: 100% of torch's rate (geometric mean of 2)",
        "decode: 2.50 times torch.compile's rate",
    ]
    assert table.summary({}) == []
    assert table.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


def test_cases():
    everything = cases.everything(small=False)
    assert len(cases.SWEEP) == len(set(cases.SWEEP)) == 20
    assert len({case.name for case in everything}) == len(everything)
    # Weights of a vector fit no cache, if only just.
    assert all(case.amount >= 9e6 for case in everything if case.unit == "bytes")
    half = decode.bytes_per_step(decode.SMOLLM2, "float16")
    assert half == pytest.approx(2 * 134.5e6, rel=0.01)
    assert decode.bytes_per_step(decode.SMOLLM2, "q4_0") / half == pytest.approx(18 / 64)
    with pytest.raises(SystemExit):
        bench.main(["--help"])


def test_time_limits():
    with pytest.raises(timing.OutOfTime), timing.limited(0.02):
        while True:
            pass
    with timing.limited(5.0):
        pass
    with pytest.raises(timing.OutOfTime), timing.limited(-1.0):
        while True:
            pass
    steps: list[int] = []
    assert timing.seconds_per_step(lambda: steps.append(1), 2, 3, 10.0) > 0 and len(steps) == 5
    steps.clear()
    timing.seconds_per_step(lambda: steps.append(1), 0, 100, 0.0)
    assert len(steps) == 1, "a step that takes too long is the last"


def test_one_row_ends_in_time(capsys, monkeypatch):
    """A library that hangs costs its row, and a failing one its cell."""
    case = next(cases.pointwise(10))

    class Peer:
        def __init__(self, name, effect):
            self.name, self.effect = name, effect

    def measure(case, peer, *rest):
        return peer.effect()

    def hang():
        while True:
            pass

    def fail():
        raise ValueError("no")

    monkeypatch.setattr(bench, "measure", measure)
    present = [Peer("tilewright", lambda: {"seconds": 1.0}), Peer("torch", hang), Peer("jax", fail)]
    maker = types.SimpleNamespace(random=lambda shape, dtype: None)
    found = bench.row_of(case, present, maker, 0.1, True, 0.05)
    assert found["torch"] == {"problem": "out of time"}
    assert found["jax"]["problem"] in ("ValueError", "out of time")
    assert list(found) == ["torch", "tilewright", "jax"]


def test_decoding_is_that_of_the_reference():
    """The benchmark's own steps, on the CPU: the same logits as torch, where there is torch."""
    config = dataclasses.replace(decode.SMALL, layers=2, hidden=96, heads=3)
    ours = decode.ours(config, "float16", 8, True, target="cpu")
    logits = [ours(token) for token in (3, 1, 60)]
    assert all(found.shape == (config.vocabulary,) and np.isfinite(found).all() for found in logits)
    torch = pytest.importorskip("torch")
    theirs = decode.torchs(torch, config, "float16", 8, False, device="cpu")
    for token, found in zip((3, 1, 60), logits, strict=True):
        expected = theirs(token)
        assert np.abs(found - expected).max() <= 1e-2 * np.abs(expected).max()
