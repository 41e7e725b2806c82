"""The parser of the PTX interpreter: what it takes, and what it says about what it does not take."""

from __future__ import annotations

import numpy as np
import ptx
import pytest
from ptx_kernels import HEADER, apply, kernel


def run(text: str, outputs: int = 1, threads: int = 32, **options) -> np.ndarray:
    """Run kernel `k(out)` and return its output of `outputs` words per thread."""
    memory = ptx.Memory()
    out = memory.empty(outputs * threads, np.uint32)
    ptx.load(text).launch("k", 1, threads, [out], memory=memory, **options)
    return memory.get(out)


def test_names_in_nested_scopes() -> None:
    body = """
  ld.param.u64 %d1, [out];
  mov.u32 %r1, %tid.x;
  mad.wide.u32 %d1, %r1, 4, %d1;
  mov.u32 %r2, 0;
  {
    .reg .pred %p<2>;
    .reg .b32 %r2;
    setp.lt.u32 %p1, %r1, 7;
    mov.u32 %r2, 5;
    @%p1 bra DONE;
    add.u32 %r2, %r2, 1;
    DONE: st.global.u32 [%d1], %r2;
  }
  {
    bra DONE;
    DONE:
  }
  ld.global.u32 %r3, [%d1];
  add.u32 %r3, %r3, %r2;
  st.global.u32 [%d1], %r3;
  ret;"""
    found = run(kernel(body, params=".param .u64 out"))
    assert found.tolist() == [5] * 7 + [6] * 25


def test_directives_comments_and_numbers() -> None:
    text = (
        "// comment\n/* more\n lines */\n"
        + HEADER
        + """
.file 1 "model.py"
.visible .entry k(
  .param .u64 .ptr .global .align 16 out
)
.maxntid 128, 1, 1
.minnctapersm 2
{
  .loc 1 12 3
  .pragma "nounroll";
  .reg .b32 %r<8>; .reg .b64 %d<4>;
  ld.param.u64 %d1, [out];
  cvta.to.global.u64 %d2, %d1;
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %d3, %r1, 4;
  add.s64 %d2, %d2, %d3;
  mov.u32 %r2, 0x10;
  add.s32 %r2, %r2, 0b11;
  add.s32 %r2, %r2, 010;
  add.s32 %r2, %r2, -1;
  add.u32 %r2, %r2, 4U;
  st.global.u32 [%d2+-0], %r2;
  ret;
}
"""
    )
    assert (run(text) == 16 + 3 + 8 - 1 + 4).all()
    with pytest.raises(ptx.PtxError, match=r"at most .* threads"):
        run(text, threads=256)


def test_variables_with_initialisers() -> None:
    module = """
.const .align 4 .u32 table[4] = {11, 22, 33, 44};
.global .align 8 .u64 pointer = table+8;
.global .f32 half = 0f3F000000;
.global .align 4 .b8 bytes[] = {1, 2, 3, 0xff};
"""
    body = """
  ld.param.u64 %d1, [out];
  mov.u32 %r1, %tid.x;
  mad.wide.u32 %d1, %r1, 16, %d1;
  ld.const.u32 %r2, [table+4];
  ld.global.u64 %d2, [pointer];
  ld.const.u32 %r3, [%d2];
  ld.global.f32 %r4, [half];
  ld.global.u32 %r5, [bytes];
  st.global.v4.u32 [%d1], {%r2, %r3, %r4, %r5};
  ret;"""
    found = run(kernel(body, params=".param .u64 out", module=module), outputs=4).reshape(32, 4)
    assert (found == [22, 33, 0x3F000000, 0xFF030201]).all()


@pytest.mark.parametrize(
    "text,error,match",
    [
        (
            kernel("  frobnicate.b32 %r1, %r2;"),
            ptx.UnsupportedPtx,
            "line 12: unsupported instruction frobnicate.b32",
        ),
        (kernel("  add.s32 %r1, %r2;\n"), ptx.UnsupportedPtx, "line 12"),
        (kernel("  add.s32 %r1, %r2, %q9;"), ptx.PtxSyntaxError, "line 12: unknown register %q9"),
        (kernel("  bra NOWHERE;"), ptx.PtxSyntaxError, "line 12: unknown name 'NOWHERE'"),
        (kernel("  add.s64 %d1, %r2, %d3;"), ptx.PtxSyntaxError, "%r2 has 32 bits, .s64 has 64"),
        (kernel("  mov.u32 %r1 %r2;"), ptx.PtxSyntaxError, "expected ','"),
        (kernel("  L: L: ret;"), ptx.PtxSyntaxError, "label L twice"),
        (kernel("  call.uni f, ();").replace("f,", "vprintf,"), ptx.PtxError, "vprintf"),
        (kernel("  mul24.lo.u32 %r1, 1, 2;"), ptx.UnsupportedPtx, "mul24.lo"),
        (HEADER + ".texref t;", ptx.PtxSyntaxError, "between functions"),
        (".version 8.0\n.target sm_80\n.address_size 32", ptx.UnsupportedPtx, "address_size 64"),
        (kernel("  mov.u32 %r1, `;"), ptx.PtxSyntaxError, "line 12: unexpected '`"),
    ],
)
def test_messages(text: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        ptx.load(text).launch("k", 1, 1, [], memory=ptx.Memory())


def test_arguments() -> None:
    body = """
  ld.param.u64 %d1, [out];
  ld.param.f32 %r1, [scale];
  ld.param.u8 %r2, [flag];
  ld.param.u32 %r3, [pair+4];
  st.global.u32 [%d1], %r1;
  st.global.u32 [%d1+4], %r2;
  st.global.u32 [%d1+8], %r3;
  ret;"""
    params = ".param .u64 out, .param .f32 scale, .param .u8 flag, .param .align 8 .b8 pair[8]"
    module = ptx.load(kernel(body, params=params))
    memory = ptx.Memory()
    out = memory.empty(3, np.uint32)
    module.launch("k", 1, 1, [out, 1.5, 7, np.array([1, 9], np.uint32)], memory=memory)
    assert memory.get(out).tolist() == [0x3FC00000, 7, 9]
    with pytest.raises(ptx.PtxError, match=r"takes 4 arguments, not 1"):
        module.launch("k", 1, 1, [out], memory=memory)
    with pytest.raises(ptx.PtxError, match=r"argument 3 has 4 bytes, pair has 8"):
        module.launch("k", 1, 1, [out, 1.5, 7, b"1234"], memory=memory)
    with pytest.raises(ptx.PtxError, match=r"no kernel 'f' in this module; it has k"):
        module.launch("f", 1, 1, [], memory=memory)


def test_special_registers() -> None:
    body = """
  ld.param.u64 %d1, [out];
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, %tid.y;
  mov.u32 %r3, %tid.z;
  mov.u32 %r4, %ctaid.x;
  mov.u32 %r5, %ctaid.y;
  mov.u32 %r6, %ctaid.z;
  mov.u32 %r7, %ntid.x;
  mov.u32 %r8, %ntid.y;
  mov.u32 %r9, %nctaid.x;
  mov.u32 %r10, %nctaid.y;
  mad.lo.u32 %r11, %r6, %r10, %r5;
  mad.lo.u32 %r11, %r11, %r9, %r4;
  mad.lo.u32 %r12, %r3, %r8, %r2;
  mad.lo.u32 %r12, %r12, %r7, %r1;
  mov.u32 %r13, %laneid;
  mov.u32 %r14, %warpid;
  shl.b32 %r15, %r14, 5;
  add.u32 %r15, %r15, %r13;
  sub.u32 %r15, %r15, %r12;
  mul.lo.u32 %r16, %r11, 60;
  add.u32 %r16, %r16, %r12;
  mad.wide.u32 %d1, %r16, 4, %d1;
  add.u32 %r17, %r16, %r15;
  st.global.u32 [%d1], %r17;
  ret;"""
    memory = ptx.Memory()
    out = memory.empty(60 * 12, np.uint32)
    for seed in (None, 1):
        ptx.load(kernel(body, params=".param .u64 out")).launch(
            "k", (2, 3, 2), (5, 4, 3), [out], memory=memory, adversarial=seed
        )
        assert (memory.get(out) == np.arange(720)).all()


def test_reads_that_follow_no_write() -> None:
    a = np.arange(4, dtype=np.uint32)
    with pytest.raises(
        ptx.Uninitialised,
        match=r"line \d+: reads %r9, which nothing has written\n.*add.*\n.*thread \(0, 0, 0\)",
    ):
        apply("add.u32 %x, %a, %r9;", [a], [np.uint32])
    guarded = "setp.lt.u32 %p2, %a, 2;\n @%p2 mov.u32 %r9, 7;\n add.u32 %x, %a, %r9;"
    with pytest.raises(ptx.Uninitialised, match=r"thread \(2, 0, 0\)"):
        apply(guarded, [a], [np.uint32])
    apply(guarded, [a], [np.uint32], strict=False)
    both = "setp.lt.u32 %p2, %a, 2;\n @%p2 mov.u32 %r9, 7;\n @!%p2 mov.u32 %r9, 8;\n add.u32 %x, %a, %r9;"
    assert apply(both, [a], [np.uint32])[0].tolist() == [7, 8, 10, 11]
