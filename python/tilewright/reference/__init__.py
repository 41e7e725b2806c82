"""The NumPy meaning of every operation of the dialect.

``REFERENCE`` maps the name of an operation without its prefix to a function that takes the operands as arrays and
the attributes as keywords of the same name, as plain Python values. What the operation's type says rather than an
attribute (the shape of a reshape, the dtype of a cast) is a keyword, too: ``shape=``, ``dtype=``.

The functions compute in the dtype they are given, and are meant to be given float64: that is the oracle of the
tests and the target ``interp``. They favour being evidently right over being fast. NaN travels as in the IR: it wins a
maximum and a minimum, and compares unequal.
"""

from __future__ import annotations

from collections.abc import Callable

from . import contract, elementwise, nn, reduce, shape

__all__ = ["REFERENCE"]

REFERENCE: dict[str, Callable] = {
    **elementwise.TABLE,
    **reduce.TABLE,
    **shape.TABLE,
    **contract.TABLE,
    **nn.TABLE,
}
