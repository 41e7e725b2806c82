"""What NVIDIA's own assembler says of the PTX, where the package `nvidia-cuda-nvcc` (extra `ptxas`) is installed."""

from __future__ import annotations

import pytest
import tilewright as tw
from assembler import assemble, machine_code, needs_ptxas

PROGRAMS = {
    "pointwise": (lambda x: tw.gelu(x) * 2, [((256, 512), "bfloat16")], 1),
    "softmax": (lambda x: tw.softmax(x), [((64, 1000), "float32")], 1),
    "softmax-long": (lambda x: tw.softmax(x), [((64, 32768), "bfloat16")], 1),
    "rms-norm": (lambda x, w: tw.rms_norm(x, w), [((64, 4096), "float16"), ((4096,), "float16")], 1),
    "layer-norm": (
        lambda x, y, w, b: tw.layer_norm(x + y, w, b),
        [((64, 16384), "float32")] * 2 + [((16384,), "float32")] * 2,
        1,
    ),
    "sum": (lambda x: tw.sum(x), [((1000, 1000), "float32")], None),
    "argmax": (lambda x: tw.argmax(x, axis=1), [((8, 1000), "float32")], None),
    "running-totals": (lambda x: tw.cumsum(x, axis=1), [((8, 9000), "float32")], 1),
    "product": (lambda a, b: tw.maximum(a @ b, 0), [((256, 128), "bfloat16"), ((128, 192), "bfloat16")], 1),
    "product-large": (
        lambda a, b, c: tw.silu(a @ b + c),
        [((2048, 256), "bfloat16"), ((256, 2048), "bfloat16"), ((2048,), "bfloat16")],
        1,
    ),
    "product-huge": (lambda a, b: a @ b, [((4096, 256), "bfloat16"), ((256, 4096), "bfloat16")], 1),
    "product-odd": (
        lambda a, b: a @ tw.transpose(b),
        [((4096, 256), "float16"), ((4095, 256), "float16")],
        1,
    ),
    "product-int8": (
        lambda a, b: tw.dot_general(a, b, lhs_contract=(1,), rhs_contract=(1,), dtype="int32"),
        [((2048, 256), "int8")] * 2,
        1,
    ),
    "product-f32-large": (lambda a, b: a @ b, [((2048, 256), "float32"), ((256, 2048), "float32")], 1),
    "product-tf32": (
        lambda a, b: tw.matmul(a, b, precision="tf32"),
        [((2048, 256), "float32"), ((256, 2048), "float32")],
        1,
    ),
    "product-tf32-odd": (
        lambda a, b: tw.matmul(a, b, precision="tf32"),
        [((2047, 255), "float32"), ((255, 2045), "float32")],
        1,
    ),
    "product-tf32-rows": (
        lambda a, b: tw.silu(tw.matmul(a, b.T, precision="tf32")),
        [((4096, 512), "float32"), ((4096, 512), "float32")],
        1,
    ),
    "product-float8": (
        lambda a, b: (a @ b.T).astype("bfloat16"),
        [((4096, 512), "float8_e4m3fn"), ((4096, 512), "float8_e4m3fn")],
        None,
    ),
    "product-f32": (lambda a, b: a @ b, [((256, 128), "float32"), ((128, 192), "float32")], 1),
    "attention": (
        lambda q, k, v: tw.attention(q, k, v, causal=True),
        [((1, 4, 64, 64), "bfloat16")] * 3,
        1,
    ),
    "attention-wide": (
        lambda q, k, v, m: tw.attention(q, k, v, m),
        [((1, 4, 256, 128), "float16")] * 3 + [((1, 1, 256, 256), "float32")],
        1,
    ),
    "attention-warpgroups": (
        lambda q, k, v: tw.attention(q, k, v, causal=True),
        [((2, 16, 1000, 128), "bfloat16"), *[((2, 4, 1000, 128), "bfloat16")] * 2],
        1,
    ),
    "attention-warpgroups-64": (
        lambda q, k, v, m: tw.attention(q, k, v, m),
        [((2, 16, 512, 64), "float16")] * 3 + [((1, 1, 512, 512), "float32")],
        1,
    ),
    "transpose": (lambda x: tw.transpose(x), [((100, 64), "float32")], 1),
    "functions": (lambda x: tw.sin(x) + tw.log1p(x) * tw.tanh(x) + tw.pow(x, x), [((1000,), "float64")], 1),
}


@needs_ptxas
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_assembles_without_spills(name, arch, tmp_path):
    fn, specs, kernels = PROGRAMS[name]
    text = tw.jit(fn, target=f"cuda:{arch}").lower(*(tw.spec(*each) for each in specs)).as_text("object")
    assert assemble(text, arch, tmp_path).spilled == 0
    assert kernels is None or text.count(".entry") == kernels


#: What machine code must consist of: program, architecture, instructions by their beginnings.
INSTRUCTIONS = [
    ("softmax-long", "sm_80", ["LDG.E.128", "STG.E.128", "SHFL.BFLY", "FMNMX.NAN"]),
    ("rms-norm", "sm_90a", ["LDG.E.128", "STG.E.128", "SHFL.BFLY", "ACQBULK", "PREEXIT"]),
    ("running-totals", "sm_80", ["LDG.E.128", "STG.E.128", "SHFL.UP", "SHFL.IDX"]),
    ("product-large", "sm_80", ["HMMA.16816.F32.BF16", "LDSM.16.M88.4", "LDSM.16.MT88.4", "LDGSTS.E.BYPASS.128"]),
    ("product-large", "sm_90a", ["HGMMA.64x256x16.F32.BF16", "UTMALDG.2D", "UTMASTG.2D", "SYNCS", "USETMAXREG"]),
    ("product-huge", "sm_90a", ["HGMMA.64x256x16.F32.BF16", "UTMALDG.2D.MULTICAST", "UTMASTG.2D", "UCGABAR_ARV", "USETMAXREG"]),
    ("product-odd", "sm_90a", ["HGMMA.64x256x16.F32", "UTMALDG.2D", "STG.E.U16"]),
    ("product-int8", "sm_80", ["IMMA.16832.S8.S8", "LDSM.16.M88.4", "LDGSTS.E.BYPASS.128"]),
    ("product-f32-large", "sm_80", ["FFMA", "LDS.128", "LDGSTS.E.BYPASS.128", "STG.E.128"]),
    ("product-tf32", "sm_80", ["HMMA.1688.F32.TF32", "LDSM.16.M88.4", "LDS", "LDGSTS.E.BYPASS.128", "STG.E.128"]),
    ("product-tf32-odd", "sm_80", ["HMMA.1688.F32.TF32", "LDSM.16.M88.4", "LDGSTS.E"]),
    ("product-tf32", "sm_90a", ["HMMA.1688.F32.TF32", "LDSM.16.M88.4"]),
    ("product-tf32-rows", "sm_90a", ["HGMMA.64x256x8.F32.TF32", "UTMALDG.2D.MULTICAST", "UTMASTG.2D"]),
    ("product-float8", "sm_90a", ["QGMMA.64x256x32.F32.E4M3.E4M3", "UTMALDG.2D.MULTICAST", "UTMASTG.2D"]),
    ("attention", "sm_80", ["HMMA.16816.F32.BF16", "LDSM.16.MT88.4", "LDGSTS.E.BYPASS.128", "MUFU.EX2"]),
    ("attention-warpgroups", "sm_90a", ["HGMMA.64x128x16.F32.BF16", "UTMALDG.4D", "SYNCS", "USETMAXREG", "MUFU.EX2", "STG.E.128"]),
    ("attention-warpgroups-64", "sm_90a", ["HGMMA.64x128x16.F32", "HGMMA.64x64x16.F32", "UTMALDG.4D", "USETMAXREG"]),
]  # fmt: skip


@needs_ptxas
@pytest.mark.parametrize(("name", "arch", "expected"), INSTRUCTIONS)
def test_machine_code(name, arch, expected, tmp_path):
    """No local memory, and the instructions that a kernel is about."""
    fn, specs, _ = PROGRAMS[name]
    text = tw.jit(fn, target=f"cuda:{arch}").lower(*(tw.spec(*each) for each in specs)).as_text("object")
    found = machine_code(assemble(text, arch, tmp_path))
    for each in expected:
        assert any(one.startswith(each) for one in found), (each, sorted(set(found)))
    assert not any(one.startswith(("LDL", "STL")) for one in found)
