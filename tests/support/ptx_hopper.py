"""A warp-specialised matrix product in PTX for sm_90a: TMA into a ring of stages, mbarriers, wgmma."""

from __future__ import annotations

from typing import Any

import numpy as np
import ptx
from ptx_kernels import kernel

STAGES, BM, BN, BK = 2, 64, 32, 64
STAGE_BYTES = (BM + BN) * BK * 2


def hopper_gemm() -> str:
    """Return c[m, n] = a[m, k] @ b[n, k]^T in bf16: warpgroup 0 consumes, the first warp of warpgroup 1 produces.

    A stage holds 64 rows of a and 32 of b, each of 64 elements (128 bytes, swizzled).  `full` barriers count one arrival and
    the bytes, `empty` barriers one arrival per warp of the consumers.
    """
    registers = ", ".join(f"%acc{i}" for i in range(BN // 2))
    stores = []
    for i in range(0, BN // 2, 2):
        rows, column = ("%p5", "%d20") if i // 2 % 2 == 0 else ("%p6", "%d21"), 8 * (i // 4)
        stores.append(f"  add.u32 %r40, %r31, {column};\n  setp.lt.and.u32 %p7, %r40, %r5, {rows[0]};")
        stores.append(f"  @%p7 st.global.v2.f32 [{rows[1]}+{4 * column}], {{%acc{i}, %acc{i + 1}}};")
    products = []
    for step in range(BK // 16):
        products.append(f"  add.u64 %d12, %d10, {2 * step};\n  add.u64 %d13, %d11, {2 * step};")
        products.append(
            f"  wgmma.mma_async.sync.aligned.m64n{BN}k16.f32.bf16.bf16 {{{registers}}}, %d12, %d13, %p20, 1, 1, 0, 0;"
        )
    body = f"""
  mov.u32 %r1, %tid.x;
  shr.u32 %r2, %r1, 5;
  mov.u32 %r3, ring;
  mov.u32 %r6, bars;
  ld.param.u32 %r4, [m];
  ld.param.u32 %r5, [n];
  ld.param.u32 %r7, [tiles];
  mov.u32 %r8, %ctaid.x;
  mul.lo.u32 %r8, %r8, {BN};
  mov.u32 %r9, %ctaid.y;
  mul.lo.u32 %r9, %r9, {BM};
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra INITIALISED;
  mbarrier.init.shared::cta.b64 [%r6], 1;
  mbarrier.init.shared::cta.b64 [%r6+8], 1;
  mbarrier.init.shared::cta.b64 [%r6+16], 4;
  mbarrier.init.shared::cta.b64 [%r6+24], 4;
  fence.mbarrier_init.release.cluster;
INITIALISED:
  bar.sync 0;
  mov.u32 %r10, 0; // tile
  mov.u32 %r11, 0; // stage
  mov.u32 %r12, 0; // parity
  setp.ge.u32 %p2, %r1, 128;
  @%p2 bra PRODUCER;
  setmaxnreg.inc.sync.aligned.u32 232;
{chr(10).join(f"  mov.b32 %acc{i}, 0f00000000;" for i in range(BN // 2))}
  setp.eq.u32 %p20, %r1, %r1;
CONSUME:
  setp.ge.u32 %p3, %r10, %r7;
  @%p3 bra STORE;
  mad.lo.u32 %r13, %r11, 8, %r6;
FULL:
  mbarrier.try_wait.parity.shared::cta.b64 %p4, [%r13], %r12; // full
  @!%p4 bra FULL;
  mad.lo.u32 %r14, %r11, {STAGE_BYTES}, %r3;
  shr.u32 %r15, %r14, 4;
  cvt.u64.u32 %d10, %r15;
  add.u64 %d11, %d10, {BM * BK * 2 // 16 + (1 << 62) + (64 << 32) + (1 << 16)};
  add.u64 %d10, %d10, {(1 << 62) + (64 << 32) + (1 << 16)};
  wgmma.fence.sync.aligned;
{chr(10).join(products)}
  wgmma.commit_group.sync.aligned;
  wgmma.wait_group.sync.aligned 0;
  elect.sync _|%p8, -1;
  @%p8 mbarrier.arrive.shared::cta.b64 _, [%r13+16];
  add.u32 %r10, %r10, 1;
  xor.b32 %r11, %r11, 1;
  setp.eq.u32 %p9, %r11, 0;
  @%p9 xor.b32 %r12, %r12, 1;
  bra CONSUME;
STORE:
  and.b32 %r30, %r1, 31;
  shl.b32 %r31, %r2, 4;
  shr.u32 %r32, %r30, 2;
  add.u32 %r32, %r32, %r31;
  add.u32 %r32, %r32, %r9;
  and.b32 %r31, %r30, 3;
  mad.lo.u32 %r31, %r31, 2, %r8;
  add.u32 %r33, %r32, 8;
  setp.lt.u32 %p5, %r32, %r4;
  setp.lt.u32 %p6, %r33, %r4;
  ld.param.u64 %d1, [c];
  mul.wide.u32 %d20, %r32, %r5;
  cvt.u64.u32 %d22, %r31;
  add.u64 %d20, %d20, %d22;
  shl.b64 %d20, %d20, 2;
  add.u64 %d20, %d20, %d1;
  mul.wide.u32 %d21, %r5, 32;
  add.u64 %d21, %d20, %d21;
{chr(10).join(stores)}
  ret;
PRODUCER:
  setmaxnreg.dec.sync.aligned.u32 40;
  setp.ne.u32 %p3, %r2, 4;
  @%p3 ret;
  mov.b64 %d1, amap;
  cvta.param.u64 %d2, %d1;
  mov.b64 %d3, bmap;
  cvta.param.u64 %d4, %d3;
  mov.u32 %r12, 1;
PRODUCE:
  setp.ge.u32 %p3, %r10, %r7;
  @%p3 ret;
  mad.lo.u32 %r13, %r11, 8, %r6;
EMPTY:
  mbarrier.try_wait.parity.shared::cta.b64 %p4, [%r13+16], %r12; // empty
  @!%p4 bra EMPTY;
  mad.lo.u32 %r14, %r11, {STAGE_BYTES}, %r3;
  add.u32 %r15, %r14, {BM * BK * 2};
  mul.lo.u32 %r16, %r10, {BK};
  elect.sync _|%p8, -1;
  @!%p8 bra ISSUED;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r13], {STAGE_BYTES};
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r14], [%d2, {{%r16, %r9}}], [%r13];
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r15], [%d4, {{%r16, %r8}}], [%r13];
ISSUED:
  bar.warp.sync -1;
  add.u32 %r10, %r10, 1;
  xor.b32 %r11, %r11, 1;
  setp.eq.u32 %p9, %r11, 0;
  @%p9 xor.b32 %r12, %r12, 1;
  bra PRODUCE;
"""
    params = ".param .align 64 .b8 amap[128], .param .align 64 .b8 bmap[128], .param .u64 c, .param .u32 m, .param .u32 n, .param .u32 tiles"
    declare = f".shared .align 1024 .b8 ring[{STAGES * STAGE_BYTES}]; .shared .align 8 .b64 bars[4]; .reg .b32 %acc<{BN // 2}>;"
    return kernel(body, params=params, name="gemm", declarations=declare)


def run_hopper_gemm(text: str, a: np.ndarray, b: np.ndarray, **options: Any) -> np.ndarray:
    """Launch the product of a (m × k) and b (n × k) and return c."""
    (m, k), n = a.shape, b.shape[0]
    memory = ptx.Memory()
    left, right = memory.put(a, writable=False, name="a"), memory.put(b, writable=False, name="b")
    out = memory.empty((m, n), np.float32, name="c")
    maps = [
        ptx.tensor_map(left, a.dtype, (k, m), (BK, BM), swizzle=128),
        ptx.tensor_map(right, b.dtype, (k, n), (BK, BN), swizzle=128),
    ]
    grid = (-(-n // BN), -(-m // BM))
    ptx.load(text).launch("gemm", grid, 256, [*maps, out, m, n, -(-k // BK)], memory=memory, **options)
    return memory.get(out)
