"""The disk cache: compiled programs by the content of what they were compiled from.

One file per entry, named by its key, written under another name and moved into place, with a checksum inside: several
processes can share the folder, and a crash leaves no half entry. The folder belongs to the user alone (0700); an entry
that is damaged, or that somebody else could have written, is a warning and a miss, never code that runs. A folder that
cannot be written costs time, not correctness.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import config, errors
from .runtime import container

__all__ = ["Cache", "Entry", "Row", "default", "diff", "key_of"]

_log = logging.getLogger("tilewright.cache")

_MAGIC = b"TWCACHE\n"
_VERSION = 1
_SUFFIX = ".twc"
# Entries of other layouts stay in folders of their own, where their own builds find them.
_FOLDER = f"v{_VERSION}"
_STALE_TEMPORARY = 3600.0
_COLLECT_EVERY = 32


def key_of(components: Mapping[str, Any]) -> str:
    """Return the key of an entry: a hash of everything that its content depends on.

    Args:
        components: what it depends on, by name (JSON values): the program after tracing, the pipeline, the
            toolchain's build, the target and its features, options. They are stored with the entry, so that a miss
            can be explained; put a digest for what is large.

    Example:
        >>> len(key_of({"program": "…", "target": "cpu"}))
        64
    """
    text = json.dumps(components, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, old value, new value) for each component that differs; of nested ones what differs inside."""
    old, new = flat(old), flat(new)
    names = [*old, *(name for name in new if name not in old)]
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def flat(components: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested components under dotted names."""
    result = {}
    for name, value in components.items():
        inner = flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
        result.update(inner)
    return result


@dataclasses.dataclass(frozen=True)
class Entry:
    """What was stored under a key.

    Attributes:
        key: the key.
        sections: the stored bytes by name.
        components: what the key was made of.
        label: what it is, for people: the function's name.
    """

    key: str
    sections: dict[str, bytes]
    components: dict[str, Any]
    label: str


@dataclasses.dataclass(frozen=True)
class Row:
    """One entry as `ls` shows it: times in seconds since 1970, `problem` is None for a good one."""

    key: str
    label: str
    size: int
    created: float
    used: float
    components: dict[str, Any]
    problem: str | None = None


class Cache:
    """A folder of entries.

    Args:
        folder: where; made when first written to.
        max_bytes: above this size the entries that were not used for longest go.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 2 << 30):
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.hits = 0
        self.misses = 0
        self._root = self.folder / _FOLDER
        self._checked = False
        self._readable = True
        self._writable = True
        self._puts = 0

    # ---- entries

    def get(self, key: str) -> Entry | None:
        """Return an entry, or None.

        A damaged or foreign one is removed with a `CacheWarning` and counts as missing.
        """
        path = self._path(key)
        entry = self._get(path, key) if self._usable() else None
        if entry is None:
            self.misses += 1
        else:
            self.hits += 1
        return entry

    def _get(self, path: Path, key: str) -> Entry | None:
        try:
            entry = self._load(path, key)
            # The time of the last use, for `gc`; the time of writing is in the header.
            with contextlib.suppress(OSError):
                os.utime(path)
            return entry
        except FileNotFoundError:
            return None
        except errors.FormatError as problem:
            self._warn(
                f"cache: {problem.message}", "it is made anew; `tilewright cache verify` checks all entries."
            )
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError as problem:
            self._warn(f"cache: cannot read {path}: {problem.strerror}")
        return None

    def put(
        self,
        key: str,
        sections: Mapping[str, Any],
        components: Mapping[str, Any] | None = None,
        label: str = "",
    ) -> bool:
        """Store an entry; an existing one is replaced.

        Args:
            key: see `key_of`.
            sections: bytes by name.
            components: what the key was made of, for `explain`.
            label: what it is, for people.

        Returns:
            Whether it was stored. Failure is a `CacheWarning`, once.
        """
        if not self._usable(create=True) or not self._writable:
            return False
        path = self._path(key)
        meta = {"key": key, "label": label, "components": dict(components or {}), "created": time.time()}
        temporary = path.with_name(f".{key[:16]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    parts = [container.Section(name, data) for name, data in sections.items()]
                    container.write(file, _MAGIC, _VERSION, meta, parts)
                os.replace(temporary, path)
            except BaseException:  # Ctrl-C, too, leaves nothing behind
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as problem:
            self._writable = False
            full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = (
                "run `tilewright cache gc` or make room;"
                if full
                else "set TILEWRIGHT_CACHE_DIR to another folder;"
            )
            self._warn(
                f"cache: cannot write to {self._root}: {problem.strerror}",
                f"{hint} this process goes on without writing to the cache.",
            )
            return False
        self._puts += 1
        if self._puts % _COLLECT_EVERY == 0:
            self.gc()
        return True

    def discard(self, key: str) -> None:
        """Remove an entry, if it is there."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    # ---- the folder

    def ls(self, *, verify: bool = False) -> list[Row]:
        """Return the entries, the most recently used first.

        Args:
            verify: whether each is read and its checksums compared.
        """
        rows = []
        for path in self._files():
            key = path.name.removesuffix(_SUFFIX)
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                try:
                    meta = self._open(path, key).meta if not verify else self._load_meta(path, key)
                    problem = None
                except (errors.FormatError, OSError) as caught:
                    meta, problem = {}, str(getattr(caught, "message", caught))
                rows.append(
                    Row(
                        key,
                        str(meta.get("label", "?")),
                        status.st_size,
                        float(meta.get("created") or status.st_mtime),
                        status.st_mtime,
                        dict(meta.get("components") or {}),
                        problem,
                    )
                )
        return sorted(rows, key=lambda row: -row.used)

    def verify(self, *, remove: bool = False) -> list[Row]:
        """Return the entries that are damaged or foreign.

        Args:
            remove: whether they are removed.
        """
        bad = [row for row in self.ls(verify=True) if row.problem]
        for row in bad if remove else ():
            self.discard(row.key)
        return bad

    def gc(self, max_bytes: int | None = None, max_age: float | None = None) -> list[str]:
        """Remove the entries that were not used for longest, and what crashed writers left.

        Args:
            max_bytes: keep at most this much; the cache's own limit by default.
            max_age: remove what was not used for so many seconds.

        Returns:
            The keys that were removed.
        """
        limit = self.max_bytes if max_bytes is None else max_bytes
        now = time.time()
        files = []
        for path in self._files(temporaries=True):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if path.name.endswith(".tmp"):
                    if now - status.st_mtime > _STALE_TEMPORARY:
                        path.unlink()
                else:
                    files.append((status.st_mtime, status.st_size, path))
        removed = []
        total = 0
        for used, size, path in sorted(files, reverse=True):
            total += size
            if total > limit or (max_age is not None and now - used > max_age):
                total -= size
                with contextlib.suppress(OSError):
                    path.unlink()
                    removed.append(path.name.removesuffix(_SUFFIX))
        return removed

    def clear(self) -> int:
        """Remove all entries; return how many."""
        return len(self.gc(max_bytes=-1))

    def explain(self, label_or_key: str = "") -> list[tuple[Row, list[tuple[str, Any, Any]]]]:
        """Return entries of one function with what changed from one to the next.

        Args:
            label_or_key: a function's name, a model file's, or the start of a key; "" is all.

        Returns:
            The entries in the order of their making, each with (component, old value, new value) for what differs
            from the entry before it with the same label.
        """
        rows = sorted(self.ls(), key=lambda row: row.created)
        chosen = {
            row.key
            for row in rows
            if label_or_key in (row.label, *row.label.split()) or row.key.startswith(label_or_key)
        }
        labels = {row.label for row in rows if row.key in chosen}
        before: dict[str, Row] = {}
        result = []
        for row in rows:
            if row.label not in labels:
                continue
            earlier = before.get(row.label)
            before[row.label] = row
            if row.key in chosen:
                result.append((row, diff(earlier.components, row.components) if earlier else []))
        return result

    def explain_miss(
        self, components: Mapping[str, Any], label: str = ""
    ) -> list[tuple[str, Any, Any]] | None:
        """Say why there is no entry: what differs from the most similar one.

        Args:
            components: what the missing key was made of.
            label: the function's name; entries of other functions do not count.

        Returns:
            (component, its value in the cache, value now) for each difference; None if there is nothing similar.
        """
        candidates = [
            diff(row.components, components) for row in self.ls() if not label or row.label == label
        ]
        return min((c for c in candidates if c), key=len, default=None)

    def log_miss(self, components: Mapping[str, Any], label: str) -> None:
        """Say in the log (topic `cache`) why something is made anew."""
        if not _log.isEnabledFor(logging.INFO):
            return  # all entries would be read
        changes = self.explain_miss(components, label)
        said = "; ".join(f"{name}: {short(old)} -> {short(new)}" for name, old, new in changes or ())
        _log.info("%s: not in the cache: %s", label, said or "nothing of this name is")

    # ---- inside

    def _path(self, key: str) -> Path:
        if len(key) < 16 or not key.isalnum():
            raise errors.ArgumentError(f"cache: {key!r} is no key")
        return self._root / key[:2] / (key + _SUFFIX)

    def _files(self, temporaries: bool = False) -> Iterator[Path]:
        if not self._usable():
            return
        with contextlib.suppress(OSError):
            for path in sorted(self._root.glob("??/*")) + sorted(self._root.glob("??/.*")):
                if path.name.endswith(_SUFFIX) or (temporaries and path.name.endswith(".tmp")):
                    yield path

    def _open(self, path: Path, key: str) -> container.Container:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise errors.FormatError(f"entry {path}: not a regular file")
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise errors.FormatError(f"entry {path}: other users can write to it")
            data = file.read()
        found = container.read(data, _MAGIC, _VERSION, f"entry {path}")
        if found.meta.get("key") != key:
            raise errors.FormatError(f"entry {path}: it belongs to another key")
        return found

    def _load(self, path: Path, key: str) -> Entry:
        found = self._open(path, key)
        sections = {name: bytes(found.section(name)) for name in found.names}
        components = found.meta.get("components")
        return Entry(
            key,
            sections,
            components if isinstance(components, dict) else {},
            str(found.meta.get("label", "")),
        )

    def _load_meta(self, path: Path, key: str) -> dict[str, Any]:
        entry = self._load(path, key)
        return {**self._open(path, key).meta, "components": entry.components}

    def _usable(self, create: bool = False) -> bool:
        """Say whether the folder can be trusted; warn once if not."""
        if self._checked or not self._readable:
            return self._readable
        try:
            if create:
                self.folder.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    self._root.mkdir(mode=0o700)
            status = os.lstat(self._root)
        except FileNotFoundError:
            return False  # nothing is cached yet
        except OSError as problem:
            self._readable = self._writable = False
            self._warn(f"cache: cannot use {self._root}: {problem.strerror}", _ELSEWHERE)
            return False
        problem = None
        if not stat.S_ISDIR(status.st_mode):
            problem = "it is no folder"
        elif status.st_uid != os.geteuid():
            problem = "it belongs to another user"
        elif status.st_mode & 0o077:
            problem = "other users can get into it (its mode must be 0700)"
        if problem:
            self._readable = self._writable = False
            self._warn(f"cache: {self._root} is not used: {problem}", _ELSEWHERE)
            return False
        self._checked = True
        return True

    def _warn(self, message: str, help: str | None = None) -> None:
        errors.warn(errors.CacheWarning, message, help=help)


def short(value: Any) -> str:
    """Return a component as people read it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


_ELSEWHERE = (
    "set TILEWRIGHT_CACHE_DIR to another folder, or TILEWRIGHT_CACHE=0; this process goes on without a cache."
)


@functools.cache
def _at(folder: Path, max_bytes: int) -> Cache:
    return Cache(folder, max_bytes)


def default() -> Cache | None:
    """Return the cache of this process as the settings have it; None if it is off."""
    settings = config.current()
    return _at(settings.cache_dir, settings.cache_size) if settings.cache else None


def main(argv: list[str] | None = None) -> int:
    """Run `tilewright cache …`; return the exit code."""
    from . import cache_command

    return cache_command.main(argv)
