"""The benchmark for GPUs works from end to end, on a driver without one; its numbers mean nothing here."""

from __future__ import annotations

import json

import pytest
from tilewright import _runtime
from tilewright.runtime import devices

from benchmarks.gpu import __main__ as bench
from benchmarks.gpu import cases


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


def test_cells():
    case = next(cases.pointwise(10))
    assert bench.shown(case, {"seconds": 1e-12 * case.amount}, {"bytes": 2e12}) == "1.00 TB/s  50%"
    assert bench.shown(case, {"error": 0.5}, {}) == "WRONG 5e-01"
    assert bench.shown(case, {"problem": "RuntimeError"}, {}) == "RuntimeError"
    assert bench.shown(case, {}, {}) == "-"
    assert len(cases.SWEEP) == len(set(cases.SWEEP)) == 20
    assert all(case.amount >= 1e9 for case in cases.everything(small=False) if case.unit == "bytes")
    with pytest.raises(SystemExit):
        bench.main(["--help"])
