"""The settings of a process: every environment variable that Tilewright reads, in one typed object.

Nothing else in the package reads the environment. `tilewright config` prints the table.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import errors

__all__ = ["Config", "Setting", "current", "describe", "override", "parse", "parse_size", "reload"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def _flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    raise ValueError("expected 0 or 1")


def _present(text: str) -> bool:
    return text != ""  # https://no-color.org: any value counts


def _threads(text: str) -> int:
    # OMP_NUM_THREADS may list the counts of nested levels; the first one is ours.
    count = int(text.partition(",")[0])
    if count < 1:
        raise ValueError("expected at least 1")
    return count


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lstrip("+") for part in text.split(",") if part.strip().lstrip("+"))


def parse_size(text: str) -> int:
    """Read a size such as `500M` or `2G` in bytes; raise ValueError for anything else."""
    units = {"k": 10, "m": 20, "g": 30, "t": 40}
    number = text.strip().lower().removesuffix("b")
    shift = units.get(number[-1:], 0)
    size = int(float(number[:-1] if shift else number) * 2**shift)
    if size < 0:
        raise ValueError("expected a size of at least 0")
    return size


def parse_calls(text: str) -> int | None:
    """Read "observed" or a number of calls; 0 is never, None the default number. Raise ValueError for anything else."""
    lowered = text.strip().lower()
    if lowered == "observed":
        return None
    if lowered in _FALSE:
        return 0
    if not lowered.isdigit():
        raise ValueError("expected observed, 0 or a number of calls")
    return int(lowered)


def _path(text: str) -> Path:
    return Path(text).expanduser()


@dataclasses.dataclass(frozen=True)
class Setting:
    """One environment variable.

    Args:
        variable: its name.
        field: the field of `Config` that it sets.
        read: text -> value; raises ValueError with what was expected.
        help: one line for `tilewright config`.
    """

    variable: str
    field: str
    read: Callable[[str], Any]
    help: str


# Of two variables of one field the later row wins.
SETTINGS: tuple[Setting, ...] = (
    Setting("TILEWRIGHT_LOG", "log", _names, "topics to log to stderr, such as +fusion,recompiles"),
    Setting("TILEWRIGHT_DUMP", "dump", _path, "folder that gets the IR of each program after each stage"),
    Setting("TILEWRIGHT_OVERRIDE", "override", _path, "folder of edited dumps that take the stages' place"),
    Setting("TILEWRIGHT_CACHE", "cache", _flag, "0 turns the disk cache off"),
    Setting("TILEWRIGHT_CACHE_DIR", "cache_dir", _path, "folder of the disk cache"),
    Setting(
        "TILEWRIGHT_CACHE_SIZE", "cache_size", parse_size, "size at which old cache entries go, such as 2G"
    ),
    Setting("TILEWRIGHT_DISABLE_JIT", "disable_jit", _flag, "1 runs every function with the NumPy reference"),
    Setting("OMP_NUM_THREADS", "num_threads", _threads, "threads of compiled code, as for OpenMP programs"),
    Setting("TILEWRIGHT_NUM_THREADS", "num_threads", _threads, "threads of compiled code"),
    Setting("TILEWRIGHT_TRACE", "trace", _path, "file that gets a Chrome trace of compiling and running"),
    Setting("TILEWRIGHT_PERF", "perf", _flag, "1 names compiled kernels for `perf report`"),
    Setting(
        "TILEWRIGHT_SPECIALIZE",
        "specialize",
        parse_calls,
        "observed, or a number of calls: functions get variants for sizes that come so often",
    ),
    Setting("TILEWRIGHT_CUDA_DRIVER", "cuda_driver", str, "the CUDA driver's library"),
    Setting(
        "TILEWRIGHT_CUDA_GRAPHS", "cuda_graphs", _flag, "0 starts kernels one by one, not as recorded graphs"
    ),
    Setting(
        "TILEWRIGHT_CUDA_OVERLAP", "cuda_overlap", _flag, "0 starts no kernel before the one before it ends"
    ),
    Setting("TILEWRIGHT_CUDA_SYNC", "cuda_sync", _flag, "1 waits after each kernel, to know which one fails"),
    Setting("CUDA_HOME", "cuda_home", _path, "folder of a CUDA toolkit, whose ptxas is used"),
    Setting("TILEWRIGHT_PTXAS", "ptxas", str, "the assembler of PTX; 0 leaves it to the driver"),
    Setting("TILEWRIGHT_TARGET", "target", str, "target of functions that name none"),
    Setting("NO_COLOR", "no_color", _present, "any value: no colours in messages"),
)


def _default_cache_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME")
    if base and os.path.isabs(base):
        return Path(base) / "tilewright"
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(home) / ".cache" / "tilewright"


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings, with their defaults.

    Attributes:
        log: topics to log.
        dump: folder for the IR after each stage, or None.
        override: folder of edited dumps, or None.
        cache: whether the disk cache is used.
        cache_dir: its folder.
        cache_size: bytes at which its oldest entries are removed.
        disable_jit: whether functions run through the reference instead of being compiled.
        num_threads: threads of compiled code; None is what affinity and cgroup leave.
        trace: file for a Chrome trace, or None.
        perf: whether compiled code is named in a file that `perf` reads.
        specialize: calls with the same sizes after which they get a variant; None the default number, 0 never.
        cuda_driver: the CUDA driver's library, opened when a program for a GPU is first called.
        cuda_graphs: whether the launches of a call are recorded as CUDA graphs.
        cuda_overlap: whether kernels of a call may begin before those end that come before them.
        cuda_sync: whether each kernel is waited for.
        cuda_home: folder of a CUDA toolkit, or None.
        ptxas: the assembler of PTX; None looks for one, "0" uses none.
        target: name of the default target.
        no_color: whether messages stay without colour.
    """

    log: tuple[str, ...] = ()
    dump: Path | None = None
    override: Path | None = None
    cache: bool = True
    cache_dir: Path = Path()
    cache_size: int = 2 << 30
    disable_jit: bool = False
    num_threads: int | None = None
    trace: Path | None = None
    perf: bool = False
    specialize: int | None = 0
    cuda_driver: str = "libcuda.so.1"
    cuda_graphs: bool = True
    cuda_overlap: bool = True
    cuda_sync: bool = False
    cuda_home: Path | None = None
    ptxas: str | None = None
    target: str = "cpu"
    no_color: bool = False


def parse(environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """Read settings.

    Args:
        environ: environment variables.

    Returns:
        The settings, and a complaint for each unknown `TILEWRIGHT_*` and each value of no use (which then counts
        as not set).

    Example:
        >>> parse({"TILEWRIGHT_NUM_THREADS": "2"})[0].num_threads
        2
    """
    values: dict[str, Any] = {"cache_dir": _default_cache_dir(environ)}
    complaints = []
    for setting in SETTINGS:
        text = environ.get(setting.variable)
        if text is None or (text == "" and setting.read is not _flag):
            continue
        try:
            values[setting.field] = setting.read(text)
        except ValueError as problem:
            complaints.append(f"{setting.variable}={text!r} is ignored: {problem}")
    known = [setting.variable for setting in SETTINGS]
    for name in sorted(environ):
        if name.startswith("TILEWRIGHT_") and name not in known:
            # Without the common prefix, which would make every name look close.
            short = {k.removeprefix("TILEWRIGHT_"): k for k in known}
            close = errors.did_you_mean(name.removeprefix("TILEWRIGHT_"), short)
            hint = close and close.replace("mean '", "mean 'TILEWRIGHT_")
            hint = hint or "`tilewright config` lists the variables."
            complaints.append(f"unknown environment variable {name}; {hint}")
    return Config(**values), complaints


_settings: Config | None = None


def current() -> Config:
    """Return the settings of this process, read once; warns about what it does not understand."""
    global _settings
    if _settings is None:
        _settings, complaints = parse(os.environ)
        for complaint in complaints:
            errors.warn(UserWarning, complaint)
        if _settings.log:
            _log_to_stderr(_settings.log)
    return _settings


def _log_to_stderr(topics: tuple[str, ...]) -> None:
    """Show the messages of some topics; `all` is every topic. Loggers that a program set up itself stay as they are."""
    import logging

    for topic in topics:
        logger = logging.getLogger("tilewright" if topic == "all" else f"tilewright.{topic}")
        if logger.handlers:
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def reload() -> Config:
    """Read the environment again."""
    global _settings
    _settings = None
    return current()


class override:
    """Use other settings inside a `with` block.

    Example:
        >>> with override(cache=False):
        ...     current().cache
        False
    """

    def __init__(self, **changes: Any):
        self._changes = changes

    def __enter__(self) -> Config:
        global _settings
        self._before = current()
        _settings = dataclasses.replace(self._before, **self._changes)
        return _settings

    def __exit__(self, *_: object) -> None:
        global _settings
        _settings = self._before


def describe() -> Iterator[tuple[str, Any, str]]:
    """Yield (variable, value in force, what it does) for each variable."""
    settings = current()
    for setting in SETTINGS:
        yield setting.variable, getattr(settings, setting.field), setting.help
