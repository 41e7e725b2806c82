"""Compile a function and export it for C.

python export.py out
cc -std=c11 -Iout main.c out/axpy.o out/tilewright_rt.c -lm -o axpy && ./axpy
"""

import sys

import tilewright as tw


@tw.jit
def axpy(x, y):
    return 2.0 * x + y


n = tw.Dim("n", min=1)
compiled = axpy.trace(tw.spec((n,), "float32"), tw.spec((n,), "float32")).lower().compile()
compiled.export(sys.argv[1] if len(sys.argv) > 1 else "out")
