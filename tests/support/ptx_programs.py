"""Whole kernels in PTX for tests of the interpreter: a pipelined matrix product and row sums, as a compiler writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import ptx
from ptx_kernels import kernel

STAGES, TILE = 3, 32  # stages of the pipeline; the tile is 32 × 32 × 32 with four warps of 16 × 16


def gemm(kind: str = "f16") -> str:
    """Return c[m, n] = a[m, k] @ b[k, n]: cp.async in three stages, XOR swizzle, ldmatrix, mma.sync; k, n multiples of 8.

    A stage holds a tile of a (32 rows of 64 bytes) and one of b (the same); chunk c of 16 bytes of row r lies at c ^ (r / 2 % 4).
    """
    return kernel(_GEMM.replace("KIND", kind), params=_GEMM_PARAMS, name="gemm", module=_GEMM_SHARED)


_GEMM_PARAMS = ".param .u64 a, .param .u64 b, .param .u64 c, .param .u32 m, .param .u32 n, .param .u32 k"
_GEMM_SHARED = ".extern .shared .align 128 .b8 tiles[];"
_LOAD = """
  // tile number %r40 into its stage, if there is such a tile
  setp.lt.u32 %p5, %r40, %r9;
  @!%p5 bra NAME_SKIP;
  rem.u32 %r41, %r40, 3;
  shl.b32 %r41, %r41, 12;
  add.u32 %r41, %r41, %r20;
  shl.b32 %r42, %r40, 5;
  // a: row %r5 + %r13, columns %r42 + %r14 * 8
  shl.b32 %r43, %r14, 3;
  add.u32 %r43, %r43, %r42;
  setp.lt.u32 %p6, %r43, %r4;
  setp.lt.and.u32 %p6, %r15, %r2, %p6;
  selp.u32 %r44, 16, 0, %p6;
  mul.wide.u32 %d10, %r15, %r4;
  cvt.u64.u32 %d11, %r43;
  add.u64 %d10, %d10, %d11;
  shl.b64 %d10, %d10, 1;
  add.u64 %d10, %d10, %d1;
  add.u32 %r45, %r41, %r16;
  cp.async.cg.shared.global [%r45], [%d10], 16, %r44;
  // b: row %r42 + %r13, columns %r6 + %r14 * 8
  add.u32 %r46, %r42, %r13;
  setp.lt.u32 %p6, %r46, %r4;
  setp.lt.and.u32 %p6, %r17, %r3, %p6;
  selp.u32 %r44, 16, 0, %p6;
  mul.wide.u32 %d10, %r46, %r3;
  cvt.u64.u32 %d11, %r17;
  add.u64 %d10, %d10, %d11;
  shl.b64 %d10, %d10, 1;
  add.u64 %d10, %d10, %d2;
  add.u32 %r45, %r45, 2048;
  cp.async.cg.shared.global [%r45], [%d10], 16, %r44;
NAME_SKIP:
  cp.async.commit_group;
"""
_GEMM = (
    """
  ld.param.u64 %d1, [a];
  ld.param.u64 %d2, [b];
  ld.param.u64 %d3, [c];
  ld.param.u32 %r2, [m];
  ld.param.u32 %r3, [n];
  ld.param.u32 %r4, [k];
  mov.u32 %r1, %tid.x;
  mov.u32 %r5, %ctaid.y;
  shl.b32 %r5, %r5, 5;
  mov.u32 %r6, %ctaid.x;
  shl.b32 %r6, %r6, 5;
  and.b32 %r7, %r1, 31;
  shr.u32 %r8, %r1, 5;
  add.u32 %r9, %r4, 31;
  shr.u32 %r9, %r9, 5;
  // who copies what: row %r13 of the tile, chunk %r14
  shr.u32 %r13, %r1, 2;
  and.b32 %r14, %r1, 3;
  add.u32 %r15, %r5, %r13;
  shl.b32 %r17, %r14, 3;
  add.u32 %r17, %r17, %r6;
  shr.u32 %r18, %r13, 1;
  and.b32 %r18, %r18, 3;
  xor.b32 %r18, %r18, %r14;
  shl.b32 %r18, %r18, 4;
  shl.b32 %r16, %r13, 6;
  add.u32 %r16, %r16, %r18;
  mov.u32 %r20, tiles;
  // the warp's part: rows from %r21 on, columns from %r22 on
  shr.u32 %r21, %r8, 1;
  shl.b32 %r21, %r21, 4;
  and.b32 %r22, %r8, 1;
  shl.b32 %r22, %r22, 4;
  // row of a that this lane addresses for ldmatrix: %r23, and half of the columns: %r24
  and.b32 %r23, %r7, 15;
  add.u32 %r23, %r23, %r21;
  shr.u32 %r24, %r7, 4;
  // row of b: %r25, and chunk: %r26
  and.b32 %r25, %r7, 15;
  shr.u32 %r26, %r22, 3;
  add.u32 %r26, %r26, %r24;
  mov.b32 %r100, 0f00000000;
  mov.b32 %r101, 0f00000000;
  mov.b32 %r102, 0f00000000;
  mov.b32 %r103, 0f00000000;
  mov.b32 %r104, 0f00000000;
  mov.b32 %r105, 0f00000000;
  mov.b32 %r106, 0f00000000;
  mov.b32 %r107, 0f00000000;
  mov.u32 %r40, 0;
"""
    + _LOAD.replace("NAME", "FIRST")
    + "  mov.u32 %r40, 1;\n"
    + _LOAD.replace("NAME", "SECOND")
    + """
  mov.u32 %r30, 0;
  setp.eq.u32 %p1, %r9, 0;
  @%p1 bra STORE;
LOOP:
  cp.async.wait_group 1;
  bar.sync 0;
  add.u32 %r40, %r30, 2;
"""
    + _LOAD.replace("NAME", "NEXT")
    + """
  rem.u32 %r31, %r30, 3;
  shl.b32 %r31, %r31, 12;
  add.u32 %r31, %r31, %r20;
  mov.u32 %r32, 0;
INNER:
  // a: chunk 2 * %r32 + %r24 of row %r23
  shl.b32 %r33, %r32, 1;
  add.u32 %r33, %r33, %r24;
  shr.u32 %r34, %r23, 1;
  and.b32 %r34, %r34, 3;
  xor.b32 %r33, %r33, %r34;
  shl.b32 %r33, %r33, 4;
  shl.b32 %r34, %r23, 6;
  add.u32 %r33, %r33, %r34;
  add.u32 %r33, %r33, %r31;
  ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r80, %r81, %r82, %r83}, [%r33];
  // b: row 16 * %r32 + %r25, chunk %r26
  shl.b32 %r35, %r32, 4;
  add.u32 %r35, %r35, %r25;
  shr.u32 %r36, %r35, 1;
  and.b32 %r36, %r36, 3;
  xor.b32 %r36, %r36, %r26;
  shl.b32 %r36, %r36, 4;
  shl.b32 %r37, %r35, 6;
  add.u32 %r36, %r36, %r37;
  add.u32 %r36, %r36, %r31;
  ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r84, %r85, %r86, %r87}, [%r36+2048];
  mma.sync.aligned.m16n8k16.row.col.f32.KIND.KIND.f32 {%r100, %r101, %r102, %r103}, {%r80, %r81, %r82, %r83}, {%r84, %r85}, {%r100, %r101, %r102, %r103};
  mma.sync.aligned.m16n8k16.row.col.f32.KIND.KIND.f32 {%r104, %r105, %r106, %r107}, {%r80, %r81, %r82, %r83}, {%r86, %r87}, {%r104, %r105, %r106, %r107};
  add.u32 %r32, %r32, 1;
  setp.lt.u32 %p2, %r32, 2;
  @%p2 bra INNER;
  add.u32 %r30, %r30, 1;
  setp.lt.u32 %p3, %r30, %r9;
  @%p3 bra LOOP;
STORE:
  shr.u32 %r50, %r7, 2;
  add.u32 %r50, %r50, %r21;
  add.u32 %r50, %r50, %r5;
  and.b32 %r51, %r7, 3;
  shl.b32 %r51, %r51, 1;
  add.u32 %r51, %r51, %r22;
  add.u32 %r51, %r51, %r6;
  add.u32 %r52, %r51, 8;
  add.u32 %r53, %r50, 8;
  setp.lt.u32 %p10, %r50, %r2;
  setp.lt.u32 %p11, %r53, %r2;
  setp.lt.u32 %p12, %r51, %r3;
  setp.lt.u32 %p13, %r52, %r3;
  and.pred %p14, %p10, %p12;
  and.pred %p15, %p11, %p12;
  and.pred %p16, %p10, %p13;
  and.pred %p17, %p11, %p13;
  mul.wide.u32 %d20, %r50, %r3;
  cvt.u64.u32 %d21, %r51;
  add.u64 %d20, %d20, %d21;
  shl.b64 %d20, %d20, 2;
  add.u64 %d20, %d20, %d3;
  mul.wide.u32 %d22, %r3, 32;
  add.u64 %d22, %d20, %d22;
  @%p14 st.global.v2.f32 [%d20], {%r100, %r101};
  @%p15 st.global.v2.f32 [%d22], {%r102, %r103};
  @%p16 st.global.v2.f32 [%d20+32], {%r104, %r105};
  @%p17 st.global.v2.f32 [%d22+32], {%r106, %r107};
  ret;
"""
)


def run_gemm(text: str, a: np.ndarray, b: np.ndarray, *, align: int = 256, **options: Any) -> np.ndarray:
    """Launch a matrix product and return c."""
    (m, k), n = a.shape, b.shape[1]
    memory = ptx.Memory()
    left, right = (
        memory.put(a, writable=False, align=align, name="a"),
        memory.put(b, writable=False, name="b"),
    )
    out = memory.empty((m, n), np.float32, name="c")
    grid = (-(-n // TILE), -(-m // TILE))
    ptx.load(text).launch(
        "gemm", grid, 128, [left, right, out, m, n, k], memory=memory, shared_bytes=STAGES * 4096, **options
    )
    return memory.get(out)


ROW_SUMS = kernel(
    """
  ld.param.u64 %d1, [x];
  ld.param.u64 %d2, [y];
  ld.param.u32 %r2, [rows];
  ld.param.u32 %r3, [columns];
  mov.u32 %r1, %tid.x;
  and.b32 %r4, %r1, 31;
  shr.u32 %r5, %r1, 5;
  mov.u32 %r6, %ctaid.x;
  mov.u32 %r7, %nctaid.x;
  mov.u32 %r8, partial;
ROW:
  setp.ge.u32 %p1, %r6, %r2;
  @%p1 bra END;
  mul.wide.u32 %d3, %r6, %r3;
  mov.f32 %r10, 0f00000000;
  mov.u32 %r11, %r1;
COLUMN:
  setp.ge.u32 %p2, %r11, %r3;
  @%p2 bra SUM;
  cvt.u64.u32 %d4, %r11;
  add.u64 %d4, %d4, %d3;
  shl.b64 %d4, %d4, 2;
  add.u64 %d4, %d4, %d1;
  ld.global.nc.f32 %r12, [%d4];
  add.f32 %r10, %r10, %r12;
  add.u32 %r11, %r11, 128;
  bra COLUMN;
SUM:
  shfl.sync.bfly.b32 %r13, %r10, 16, 31, -1;
  add.f32 %r10, %r10, %r13;
  shfl.sync.bfly.b32 %r13, %r10, 8, 31, -1;
  add.f32 %r10, %r10, %r13;
  shfl.sync.bfly.b32 %r13, %r10, 4, 31, -1;
  add.f32 %r10, %r10, %r13;
  shfl.sync.bfly.b32 %r13, %r10, 2, 31, -1;
  add.f32 %r10, %r10, %r13;
  shfl.sync.bfly.b32 %r13, %r10, 1, 31, -1;
  add.f32 %r10, %r10, %r13;
  setp.eq.u32 %p3, %r4, 0;
  shl.b32 %r14, %r5, 2;
  add.u32 %r14, %r14, %r8;
  @%p3 st.shared.f32 [%r14], %r10;
  bar.sync 0; // partial sums are there
  ld.shared.v4.f32 {%r20, %r21, %r22, %r23}, [%r8];
  add.f32 %r20, %r20, %r21;
  add.f32 %r22, %r22, %r23;
  add.f32 %r20, %r20, %r22;
  bar.sync 0; // partial sums were read
  setp.eq.u32 %p4, %r1, 0;
  mul.wide.u32 %d5, %r6, 4;
  add.u64 %d5, %d5, %d2;
  @%p4 st.global.f32 [%d5], %r20;
  add.u32 %r6, %r6, %r7;
  bra ROW;
END:
  ret;
""",
    params=".param .u64 x, .param .u64 y, .param .u32 rows, .param .u32 columns",
    name="row_sums",
    declarations=".shared .align 16 .b8 partial[16];",
)


def run_row_sums(text: str, x: np.ndarray, *, blocks: int = 2, **options: Any) -> np.ndarray:
    """Launch the row sums of blocks of 128 threads that walk over the rows."""
    memory = ptx.Memory()
    source, out = memory.put(x, writable=False, name="x"), memory.empty(x.shape[0], np.float32, name="y")
    ptx.load(text).launch("row_sums", blocks, 128, [source, out, *x.shape], memory=memory, **options)
    return memory.get(out)
