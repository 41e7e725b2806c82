"""The launcher by itself, on host functions written here: what manifests say of kernels, what `launch` passes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import fake_cuda
import numpy as np
import pytest
from ptx_kernels import kernel
from tilewright import errors, runtime
from tilewright.runtime import devices

RUNTIME = Path(__file__).parents[2] / "cpp" / "Runtime"

#: One tile of a tensor, as it lies in shared memory, copied to the result; the block's number is added to the first.
TILE = """
  griddepcontrol.wait;
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, tile;
  mov.u32 %r3, bar;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 mbarrier.init.shared::cta.b64 [%r3], 1;
  fence.mbarrier_init.release.cluster;
  bar.sync 0;
  mov.b64 %d1, map;
  cvta.param.u64 %d2, %d1;
  @!%p1 bra WAIT;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], 256;
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r2], [%d2, {4, 2}], [%r3];
WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r3], 0;
  @!%p2 bra WAIT;
  ld.param.u64 %d3, [out];
  mad.lo.u32 %r5, %r1, 4, %r2;
  ld.shared.u32 %r6, [%r5];
  mad.wide.u32 %d4, %r1, 4, %d3;
  st.global.u32 [%d4], %r6;
  ret;"""

HOST = r"""
#include "Abi.h"
char tw_device_code[] = R"PTX(%s)PTX";
extern "C" int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *) {
  int64_t words[] = {(int64_t)in[0].data, in[0].dims[1], in[0].dims[0], in[0].dims[1] * 4};
  void *result = out[0].data;
  void *arguments[] = {words, &result};
  rt->launch(rt, 0, 1, 64, arguments);
  return 0;
}
"""


@pytest.fixture
def build(tmp_path, fake_gpu, monkeypatch):
    """Return a function that makes an executable of PTX, a host function and the kernel's entry in the manifest."""
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)

    def make(text: str, host: str, entry: object):
        source, target = tmp_path / "host.cpp", tmp_path / "host.o"
        source.write_text(host % text)
        command = [fake_cuda.compiler(), "-c", "-O1", "-fPIC", f"-I{RUNTIME}", str(source), "-o", str(target)]
        subprocess.run(command, check=True, timeout=60)
        f32 = {"dtype": "float32", "dims": [None, None]}
        manifest = {
            "abi": 1, "target": "cuda", "entry": "tw_main", "shapes": None, "scratch": 0, "symbols": {}, "loads": [],
            "args": [{**f32, "name": "x", "shape": [12, 24], "kind": "input", "donate": False, "weight": None}],
            "outputs": [{**f32, "shape": [8, 8], "alias": None}], "locations": [], "kernels": [],
            "device": {"arch": "sm_90", "code": "tw_device_code", "kernels": [entry]},
        }  # fmt: skip
        return runtime.Executable(target.read_bytes(), manifest)

    fake_gpu.configure(capability=(9, 0))
    return make


def tile_kernel() -> str:
    return kernel(
        TILE,
        params=".param .align 64 .b8 map[128], .param .u64 out",
        declarations=".shared .align 8 .b64 bar; .shared .align 1024 .b8 tile[256];",
    )


def test_tensor_map_is_made_of_what_host_code_passes(build, fake_gpu):
    x = np.arange(12 * 24, dtype=np.float32).reshape(12, 24)
    entry = {"name": "k", "parameters": 2, "maps": [{"parameter": 0, "dtype": "float32", "box": [8, 8]}]}
    found = build(tile_kernel(), HOST, entry)(x)
    np.testing.assert_array_equal(found.numpy(), x[2:10, 4:12])
    entry["maps"][0]["swizzle"] = 32
    swizzled = build(tile_kernel(), HOST, entry)(x).numpy().reshape(-1)
    offset = np.arange(64) * 4
    places = (offset ^ ((offset >> 3) & (1 << 4))) // 4
    np.testing.assert_array_equal(swizzled[places].reshape(8, 8), x[2:10, 4:12])
    assert fake_gpu.fault is None


def test_tensor_map_that_cannot_be(build):
    entry = {"name": "k", "parameters": 2, "maps": [{"parameter": 0, "dtype": "float32", "box": [3, 8]}]}
    with pytest.raises(errors.DeviceError, match="kernel k: describing an array for the kernel failed"):
        build(tile_kernel(), HOST, entry)(np.zeros((12, 24), np.float32))


#: The tile, as often as arguments say, with what comes between.
LAUNCHES = HOST.replace(
    "rt->launch(rt, 0, 1, 64, arguments);",
    "for (int turn = 0; turn < 3; ++turn) { rt->launch(rt, 0, 1, 64, arguments); BETWEEN }",
)
READ = "if (turn == 0) { float value; rt->read(rt, &value, out[0].data, 4); }"
PUSH = "if (turn == 0) rt->scratch_pop(rt, rt->scratch_push(rt, 1000));"


@pytest.mark.parametrize(
    ("attributes", "between", "expected"),
    [
        ({"cluster": [1, 1, 1]}, "", ["4", "", "4", "", "4", ""]),
        ({"overlap": True}, "", ["", "6", "", "6", ""]),
        ({"overlap": True}, READ, ["", "", "6", ""]),
        ({"overlap": True}, PUSH, ["", "", "6", ""]),
        (
            {"cluster": [1, 1, 1], "overlap": True, "shared": 100 << 10},
            READ,
            ["4", "", "4", "", "4", "6", ""],
        ),
    ],
)
def test_attributes_of_a_launch(attributes, between, expected, build, fake_gpu):
    """A kernel begins before the one before it ends where nothing but that is before it in the call."""
    maps = [{"parameter": 0, "dtype": "float32", "box": [8, 8]}]
    x = np.arange(12 * 24, dtype=np.float32).reshape(12, 24)
    entry = {"name": "k", "parameters": 2, "maps": maps, **attributes}
    found = build(tile_kernel(), LAUNCHES.replace("BETWEEN", between), entry)(x)
    np.testing.assert_array_equal(found.numpy(), x[2:10, 4:12])
    assert fake_gpu.fault is None
    lines = [line.split() for line in fake_gpu.log() if line.startswith(("attribute", "launch"))]
    assert [words[1] if words[0] == "attribute" else "" for words in lines] == expected


def test_kernel_that_begins_early_and_does_not_wait(build, fake_gpu):
    entry = {"name": "k", "parameters": 2, "overlap": True}
    entry["maps"] = [{"parameter": 0, "dtype": "float32", "box": [8, 8]}]
    text = tile_kernel().replace("griddepcontrol.wait;", "")
    with pytest.raises(errors.DeviceError):
        build(text, LAUNCHES.replace("BETWEEN", ""), entry)(np.zeros((12, 24), np.float32)).numpy()
    assert "never waits for it" in str(fake_gpu.fault)
    fake_gpu.native.fake_recover()


def test_blocks_that_run_at_once(build, fake_gpu):
    """The device has three multiprocessors."""
    maps = [{"parameter": 0, "dtype": "float32", "box": [8, 8]}]
    x = np.arange(12 * 24, dtype=np.float32).reshape(12, 24)
    host = HOST.replace("rt->launch(rt, 0, 1, 64", "rt->launch(rt, 0, 7, 64")
    for together, blocks in ((0, 7), (1, 3), (2, 2), (4, 4)):
        fake_gpu.log()
        entry = {"name": "k", "parameters": 2, "maps": maps, "persistent": together}
        np.testing.assert_array_equal(build(tile_kernel(), host, entry)(x).numpy(), x[2:10, 4:12])
        assert [line.split()[:3] for line in fake_gpu.log() if "launch" in line] == [
            ["launch", "k", str(blocks)]
        ]


def test_more_shared_memory_than_there_is(build):
    entry = {"name": "k", "shared": 300 << 10}
    with pytest.raises(errors.DeviceError, match="kernel k: preparing the kernel failed"):
        build(tile_kernel(), HOST, entry)(np.zeros((12, 24), np.float32))


def test_kernel_that_is_not_in_the_code(build):
    with pytest.raises(errors.DeviceError, match="kernel other: preparing the kernel failed"):
        build(tile_kernel(), HOST, "other")(np.zeros((12, 24), np.float32))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (7, "a kernel of the device is a name or an object"),
        ({"name": "k", "cluster": [2]}, "three sizes"),
        ({"name": "k", "parameters": 1, "maps": [{"parameter": 1, "dtype": "float32", "box": [8]}]}, "no parameter"),
        ({"name": "k", "parameters": 1, "maps": [{"parameter": 0, "dtype": "float32", "box": []}]}, "1 to 5 sizes"),
        ({"name": "k", "parameters": 1, "maps": [{"parameter": 0, "dtype": "float32", "box": [8, 257]}]}, "1 to 256"),
        ({"name": "k", "parameters": 1, "maps": [{"parameter": 0, "dtype": "float32", "box": [0]}]}, "at least 1"),
        (
            {"name": "k", "parameters": 1, "maps": [{"parameter": 0, "dtype": "float32", "box": [8], "swizzle": 48}]},
            "swizzle of a tensor map",
        ),
        (
            {"name": "k", "parameters": 1, "maps": [{"parameter": 0, "dtype": "float32", "box": [8], "promotion": 32}]},
            "promotion of a tensor map",
        ),
        ({"shared": 5}, "'name' is missing"),
    ],
)  # fmt: skip
def test_manifests_that_make_no_sense(build, entry, message):
    with pytest.raises(errors.FormatError, match=message):
        build(tile_kernel(), HOST, entry)


FAULTS = {
    "another launch's arguments": (
        "void *arguments[] = {words, &result};",
        "void *arguments[] = {&result, words};",
    ),
    "too small a size": ("in[0].data, in[0].dims[1],", "in[0].data, in[0].dims[1] - 16,"),
    "stride in elements": ("in[0].dims[1] * 4}", "in[0].dims[1]}"),
    "an address of the host": ("void *result = out[0].data;", "void *result = words;"),
    "the argument instead of the result": ("void *result = out[0].data;", "void *result = in[0].data;"),
    "too few threads": ("rt->launch(rt, 0, 1, 64,", "rt->launch(rt, 0, 1, 32,"),
    "another kernel": ("rt->launch(rt, 0, 1, 64,", "rt->launch(rt, 1, 1, 64,"),
    "no launch": ("rt->launch(rt, 0, 1, 64, arguments);", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_seen(fault, build, fake_gpu):
    """As an error of the driver or the interpreter, or as a wrong result: never as the right one."""
    right, wrong = FAULTS[fault]
    assert right in HOST
    entry = {"name": "k", "parameters": 2, "maps": [{"parameter": 0, "dtype": "float32", "box": [8, 8]}]}
    x = np.arange(12 * 24, dtype=np.float32).reshape(12, 24)
    try:
        found = build(tile_kernel(), HOST.replace(right, wrong), entry)(x).numpy()
    except errors.DeviceError:
        return
    finally:
        fake_gpu.native.fake_recover()
    assert not np.array_equal(found, x[2:10, 4:12])
