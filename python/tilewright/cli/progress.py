"""A progress line on stderr that leaves no trace, and is not there at all where nobody looks."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from .. import config

_WIDTH = 24
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class ProgressLine:
    """Shows (text, done, total) with a bar and the seconds so far; redrawn by a thread, since a step may take long.

    Args:
        stream: where; nothing is written unless it is a terminal.
        enabled: False writes nothing anywhere.
    """

    def __init__(self, stream: TextIO | None = None, enabled: bool = True) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._enabled = enabled and self._stream.isatty()
        self._colour = not config.current().no_color
        self._state = ("", 0, 1)
        self._started = time.perf_counter()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ProgressLine:
        if self._enabled:
            self._thread = threading.Thread(target=self._draw_until_stopped, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

    def __call__(self, text: str, done: int, total: int) -> None:
        """Say what happens now."""
        self._state = (text, done, total)

    def render(self, tick: int) -> str:
        """Return the line as it stands."""
        text, done, total = self._state
        filled = _WIDTH * done // max(total, 1)
        bar = "█" * filled + "░" * (_WIDTH - filled)
        seconds = time.perf_counter() - self._started
        if self._colour:
            bar = f"\x1b[36m{bar}\x1b[0m"
        return f"{_FRAMES[tick % len(_FRAMES)]} {bar} {text} {seconds:.1f} s"

    def _draw_until_stopped(self) -> None:
        tick = 0
        # Quick work (a warm start) shows nothing: no flicker.
        if self._stop.wait(0.2):
            return
        while not self._stop.wait(0.1):
            self._stream.write("\r\x1b[2K" + self.render(tick))
            self._stream.flush()
            tick += 1
