"""What can go wrong with a PTX program: one class per kind of fault.

Errors of the text (`PtxSyntaxError`, `UnsupportedPtx`) name the line.  Errors of a run (`PtxFault`) name the line, the
instruction as written, the block and the thread, so that a failing test leads straight to the code that emitted it.
"""

from __future__ import annotations


class PtxError(Exception):
    """Base of all errors of the interpreter."""


class PtxSyntaxError(PtxError):
    """The text is not PTX as far as this parser knows it."""


class UnsupportedPtx(PtxError):
    """Valid PTX perhaps, but outside of the subset that is interpreted."""


class PtxFault(PtxError):
    """A program did, while it ran, what its hardware would punish or leave undefined."""


class OutOfBounds(PtxFault):
    """An access touches bytes outside of every allocation or variable."""


class Misaligned(PtxFault):
    """An address is not a multiple of the size of the access, or of what the instruction asks for."""


class ReadOnly(PtxFault):
    """A write to memory that the launch handed over for reading only."""


class Uninitialised(PtxFault):
    """A register or a byte of shared memory is read before anything was written to it."""


class InFlight(PtxFault):
    """Something is touched that an asynchronous operation may still read or write."""


class Deadlock(PtxFault):
    """All threads that are left wait."""


class NoProgress(PtxFault):
    """The program ran for more steps than the launch allows."""


class Divergence(PtxFault):
    """A warp-wide instruction is executed by the wrong set of threads."""


class Race(PtxFault):
    """Two warps touch the same bytes of shared memory, one of them writing, with nothing that orders them."""


class BadOperand(PtxFault):
    """An operand has a value that the instruction does not allow (a descriptor, a count, a mask, an index)."""


class Trapped(PtxFault):
    """The program executed `trap`, or failed an assertion of its own."""


class TooEarly(PtxFault):
    """Global memory is touched before `griddepcontrol.wait`: the kernel before may still be using it."""


class MissingFence(PtxFault):
    """An asynchronous operation uses registers or shared memory that were written since the fence that it needs."""
