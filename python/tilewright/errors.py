"""The errors a user of Tilewright meets, and how they are shown.

Every error says what is wrong, where (the user's own file, line and column) and what to do::

    ShapeError: rms_norm: weight has shape [128], expected [256] (last dim of x [4, 256])
      --> model.py:41:9   in block()
       |  return rms_norm(h, self.w_attn) @ self.wq
      help: slice or reshape the weight; broadcasting is never implicit for weights.

Raise through :func:`fail`, which finds that line; decorate public entry points with
:func:`trim_traceback`, which takes the frames of this package out of the traceback.
"""

from __future__ import annotations

import functools
import itertools
import linecache
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn, ParamSpec, TypeVar

__all__ = [
    "ArgumentError",
    "CacheWarning",
    "CheckError",
    "DTypeError",
    "DeviceError",
    "FormatError",
    "IndexRangeError",
    "InternalError",
    "LoweringError",
    "ShapeError",
    "SourceLocation",
    "TilewrightError",
    "TracerError",
    "UnsupportedOpError",
    "did_you_mean",
    "fail",
    "trim_traceback",
    "user_location",
    "user_locations",
    "warn",
]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Models are written with the public API like any user's model: their lines are the ones worth showing.
_PACKAGE_USERS = (_PACKAGE + "models" + os.sep,)
# Standard-library trampolines that sit between a decorated entry point and its caller.
_TRAMPOLINES = frozenset({functools.__file__, os.path.join(os.path.dirname(os.__file__), "contextlib.py")})


# ---- where: the user's line ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """One place in the user's code.

    Args:
        file: path as Python knows it (``co_filename``).
        line: line number, from 1; 0 when unknown.
        column: column, from 1; 0 when unknown.
        function: name of the enclosing function, ``<module>`` at top level, "" when unknown.
        text: the source line without indentation, or "" when it cannot be read.
    """

    file: str
    line: int = 0
    column: int = 0
    function: str = ""
    text: str = ""

    def __str__(self) -> str:
        return ":".join([_display_path(self.file), *(str(n) for n in (self.line, self.column) if n)])

    def render(self) -> str:
        """Return the ``-->`` and ``|`` lines of an error message."""
        where = f"  --> {self}"
        if self.function:
            where += "   at top level" if self.function == "<module>" else f"   in {self.function}()"
        text = self.text or linecache.getline(self.file, self.line).strip()
        return f"{where}\n   |  {text}" if text else where


def _display_path(path: str) -> str:
    """Shorten a path below the working directory; leave any other as it is."""
    try:
        here = os.getcwd() + os.sep
    except OSError:  # the working directory was deleted
        return path
    return path.removeprefix(here)


@functools.lru_cache(maxsize=4096)
def is_user_file(filename: str) -> bool:
    """Say whether code of this file counts as the user's (not this package, NumPy or a trampoline)."""
    if filename in _TRAMPOLINES or filename.startswith("<frozen "):
        return False
    path = os.path.abspath(filename) if not filename.startswith("<") else filename
    if path.startswith(_PACKAGE):
        return path.startswith(_PACKAGE_USERS)
    numpy = sys.modules.get("numpy")
    root = getattr(numpy, "__file__", None)
    # np.linalg.norm(traced) reaches us through NumPy's own Python: the line above is the user's.
    return not (root and path.startswith(os.path.dirname(os.path.abspath(root)) + os.sep))


@functools.lru_cache(maxsize=16384)
def _locate(code: CodeType, lasti: int) -> SourceLocation:
    position = next(itertools.islice(code.co_positions(), max(lasti, 0) // 2, None), (None,) * 4)
    line, column = position[0] or code.co_firstlineno, position[2]
    text = linecache.getline(code.co_filename, line).strip()
    return SourceLocation(code.co_filename, line, 0 if column is None else column + 1, code.co_name, text)


def user_locations(frame: FrameType | None = None, limit: int = 16) -> Iterator[SourceLocation]:
    """Yield the places of the user's call stack, innermost first.

    Args:
        frame: where to start; by default the caller's frame.
        limit: how many places at most.
    """
    current = frame if frame is not None else sys._getframe(1)
    while current is not None and limit > 0:
        if is_user_file(current.f_code.co_filename):
            yield _locate(current.f_code, current.f_lasti)
            limit -= 1
        current = current.f_back


def user_location(frame: FrameType | None = None) -> SourceLocation | None:
    """Return the innermost place in the user's code, or None when no caller is the user's."""
    return next(user_locations(frame if frame is not None else sys._getframe(1), limit=1), None)


# ---- what: the family ---------------------------------------------------------------------------------


class TilewrightError(Exception):
    """Base of every error that Tilewright raises on purpose.

    Catch it to treat all of them alike. Each subclass derives from the builtin exception that code written
    for NumPy already catches, too (``ShapeError`` is a ``ValueError``, and so on).

    Attributes:
        message: the sentence, without location and help.
        help: what to do about it, or None.
        loc: the user's place (a :class:`SourceLocation`): by default the innermost user frame that is running
            when the error is made; None when there is none.
    """

    def __init__(self, message: str, *, help: str | None = None, loc: SourceLocation | None = None):
        super().__init__(message)
        self.message = message
        self.help = help
        self.loc = loc if loc is not None else user_location(sys._getframe(1))

    def _details(self) -> list[str]:
        """Return further indented lines, between the location and the help."""
        return []

    def __str__(self) -> str:
        lines = [self.message]
        if self.loc is not None:
            lines.append(self.loc.render())
        lines += self._details()
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ == __name__:
            cls.__module__ = "tilewright"  # the public name is what a traceback prints and pickle looks up


TilewrightError.__module__ = "tilewright"


class ShapeError(TilewrightError, ValueError):
    """Shapes, ranks or axes do not fit an operation.

    Raised while tracing, on the line that calls the operation, or at a call whose arguments contradict the
    ``spec`` or ``Dim`` they were compiled for. Broadcasting follows NumPy except that a dynamic dim never
    broadcasts implicitly: reshape or ``broadcast_to`` says what is meant.
    """


class DTypeError(TilewrightError, TypeError):
    """Element types do not fit an operation, or do not mix.

    Promotion follows the array API standard: mixes it leaves undefined (float32 with int32, uint64 with
    int64, bool with a number) are errors, never guesses. ``cast`` or ``astype`` says which type is meant.
    """


class UnsupportedOpError(TilewrightError, NotImplementedError):
    """A known operation, or a variant of one, that Tilewright or the chosen target does not implement.

    Nothing falls back silently: the message names the operation and the target, and the help names what can
    stand in for it.
    """


class TracerError(TilewrightError, TypeError):
    """A traced value was used as if it were data.

    While a function is traced its values have a shape and a dtype and no numbers yet. A Python ``if``,
    ``while`` or ``for`` on such a value, ``float(x)``, or a value kept after its trace ended raises this;
    ``tw.cond``, ``tw.while_loop``, ``tw.fori_loop`` and ``tw.scan`` express control flow on data.
    """


class ArgumentError(TilewrightError, TypeError):
    """A call does not match the signature of a function or of its compiled form.

    Missing, surplus or unknown arguments, static arguments that cannot be hashed, and structures (dicts,
    lists) that differ from those the function was compiled for. The message lists each argument that differs.
    """


class IndexRangeError(TilewrightError, IndexError):
    """An index was outside its axis when compiled code ran.

    ``gather`` with ``mode="raise"`` checks its indices on every target; the location is the line that
    built the operation. ``mode="clip"`` and ``mode="wrap"`` never raise.
    """


class CheckError(TilewrightError, RuntimeError):
    """A ``check`` in the program was false when compiled code ran.

    The message is the one given to the check; the location is the line that built it.
    """


class FormatError(TilewrightError, ValueError):
    """A file is damaged, hostile, or of a kind or version this build does not read.

    GGUF, safetensors and Tilewright's own artefacts are checked before a byte of them is used: sizes
    against the file's length, counts against sane limits, checksums where the format has them.
    """


class DeviceError(TilewrightError, RuntimeError):
    """The device or target asked for is missing, or failed while working.

    Also raised when an artefact was compiled for processor features that this machine lacks.
    """


class LoweringError(TilewrightError):
    """A well-formed program could not be lowered by the chosen target.

    It carries everything a bug report needs. If the reproducer shows a program that the documentation
    promises to compile, this is a defect of Tilewright.

    Attributes:
        stage: the stage being produced (``tiled`` …).
        pass_name: the pass that failed.
        op: the operation it failed on.
        reason: why the pass refused, in its own words.
        reproducer: path of a file that reproduces the failure, or None.
        command: the ``tw-opt`` command line that reproduces it, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        help: str | None = None,
        loc: SourceLocation | None = None,
        stage: str | None = None,
        pass_name: str | None = None,
        op: str | None = None,
        reason: str | None = None,
        reproducer: str | None = None,
        command: str | None = None,
    ):
        super().__init__(message, help=help, loc=loc)
        self.stage, self.pass_name, self.op, self.reason = stage, pass_name, op, reason
        self.reproducer, self.command = reproducer, command

    def _details(self) -> list[str]:
        rows = {
            "stage": self.stage,
            "pass": self.pass_name,
            "op": self.op,
            "reason": self.reason,
            "reproducer": self.reproducer,
            "run": self.command,
        }
        return [f"  {name}: {value}" for name, value in rows.items() if value]


class InternalError(LoweringError, RuntimeError):
    """Tilewright broke a promise of its own: a bug in Tilewright, never in the user's program.

    Raised when a stage's verifier finds what must not be there, or an invariant fails. It carries what
    :class:`LoweringError` carries; its traceback keeps the frames of the package.
    """


class CacheWarning(UserWarning):
    """A cache entry could not be used or written; the work was done without it.

    A corrupt, foreign or outdated entry is never run: it is recompiled and this warning says which file.
    A read-only or full cache folder costs time, not correctness.
    """


CacheWarning.__module__ = "tilewright"

_P = ParamSpec("_P")
_R = TypeVar("_R")


def fail(
    cls: type[TilewrightError],
    message: str,
    help: str | None = None,
    loc: SourceLocation | FrameType | None = None,
    *,
    cause: BaseException | None = None,
    **fields: Any,
) -> NoReturn:
    """Raise ``cls`` with the user's line.

    Args:
        cls: which error.
        message: ``"op: what is wrong, with the shapes or dtypes met and expected"``.
        help: what the user can do, one sentence.
        loc: the place; a frame to start looking from, or None for the innermost user frame of this call.
        cause: an exception to chain; without one the context is hidden.
        **fields: what else the class carries (``stage=``, ``pass_name=`` … of :class:`LoweringError`).

    Raises:
        TilewrightError: always, of type ``cls``.
    """
    if not isinstance(loc, SourceLocation):
        loc = user_location(loc if loc is not None else sys._getframe(1))
    raise cls(message, help=help, loc=loc, **fields) from cause


def warn(category: type[Warning], message: str, help: str | None = None) -> None:
    """Issue a warning that points at the user's line.

    Args:
        category: the warning class, such as :class:`CacheWarning`.
        message: what happened.
        help: what to do about it.
    """
    text = f"{message}\n  help: {help}" if help else message
    loc = user_location(sys._getframe(1))
    if loc is None:
        warnings.warn(text, category, stacklevel=2)
    else:
        warnings.warn_explicit(text, category, loc.file, loc.line)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return ``"did you mean 'x'?"`` for the closest known name, or None when none is close."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else None


# ---- tracebacks ---------------------------------------------------------------------------------------


def _user_traceback(tb: TracebackType | None) -> TracebackType | None:
    """Return ``tb`` without the frames of this package."""
    entries = []
    while tb is not None:
        if is_user_file(tb.tb_frame.f_code.co_filename):
            entries.append(tb)
        tb = tb.tb_next
    result = None
    for entry in reversed(entries):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


def _is_ours_to_keep(exc: BaseException) -> bool:
    """Say whether the frames of this package are the interesting ones: a bug of ours."""
    if isinstance(exc, TilewrightError):
        return isinstance(exc, InternalError)
    if isinstance(exc, OSError):  # the user's path or disk
        return False
    tb = exc.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb is not None and tb.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def trim_traceback(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a public entry point so that errors pass without frames of this package.

    Applies to :class:`TilewrightError` and to exceptions of the user's own code that travel through a trace.
    The traceback stays whole for our own bugs: :class:`InternalError`, and other exceptions raised here (but for
    ``OSError``, which is about the user's files).
    """

    @functools.wraps(function)
    def entry(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            if not _is_ours_to_keep(exc):
                exc.__traceback__ = _user_traceback(exc.__traceback__)
            # A bare raise adds no entry for this frame, so that the wrapper itself vanishes as well.
            raise

    return entry
