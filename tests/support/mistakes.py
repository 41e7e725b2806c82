"""What every row of the bad-input tables is held to: class, key phrase, the user's line, and a clean traceback."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable

import pytest
import tilewright
from tilewright.errors import TilewrightError

_PACKAGE = os.path.dirname(tilewright.__file__) + os.sep


class Table:
    """Collects mistakes: functions that each make one, with the error they must meet."""

    def __init__(self) -> None:
        self.rows: list = []

    def row(self, cls: type[Exception], phrase: str) -> Callable[[Callable], Callable]:
        """Register a mistake.

        Args:
            cls: the exact class of the error (a builtin one for what the operating system says).
            phrase: what its text must contain.
        """

        def add(function: Callable) -> Callable:
            self.rows.append(pytest.param(function, cls, phrase, id=function.__name__))
            return function

        return add


def check(make: Callable, cls: type[Exception], phrase: str, *arguments) -> None:
    """Make the mistake and judge the error."""
    with pytest.raises((TilewrightError, OSError)) as info:
        make(*arguments)
    error = info.value
    shown = "".join(traceback.format_exception(error))
    assert type(error) is cls, shown
    assert phrase in str(error), shown
    first = make.__code__.co_firstlineno
    lines = range(first, first + len(inspect.getsourcelines(make)[0]) + 1)
    if isinstance(error, TilewrightError):
        assert error.loc is not None, shown
        assert error.loc.file == make.__code__.co_filename and error.loc.line in lines, shown
        assert error.loc.text and error.loc.text in shown
    ours = [
        entry for entry in traceback.extract_tb(error.__traceback__) if entry.filename.startswith(_PACKAGE)
    ]
    assert not ours, shown
