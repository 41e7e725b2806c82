"""The progress line of the command: drawn on terminals only, gone when done."""

import io
import time

import pytest
import tilewright as tw
from tilewright import config, stages
from tilewright.cli.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_draws_on_a_terminal_and_cleans_up():
    stream = Terminal()
    with ProgressLine(stream) as progress:
        progress("compiling", 1, 2)
        time.sleep(0.45)
    text = stream.getvalue()
    assert "compiling" in text and "█" in text and text.endswith("\r\x1b[2K")


@pytest.mark.parametrize("stream, enabled", [(io.StringIO(), True), (Terminal(), False)])
def test_writes_nothing_where_nobody_looks(stream, enabled):
    with ProgressLine(stream, enabled=enabled) as progress:
        progress("compiling", 1, 2)
        time.sleep(0.35)
    assert stream.getvalue() == ""


def test_quick_work_does_not_flicker():
    stream = Terminal()
    with ProgressLine(stream) as progress:
        progress("reading", 0, 1)
    assert stream.getvalue() in ("", "\r\x1b[2K")


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_respect_the_setting(no_color):
    with config.override(no_color=no_color):
        line = ProgressLine(Terminal())
    line("x", 3, 3)
    assert ("\x1b" in line.render(0)) is not no_color
    assert line.render(0).count("█") == 24


def test_compiling_tells_each_stage():
    told = []
    lowered = tw.jit(lambda x: x + 1.0).lower(tw.spec((8,)))
    with config.override(cache=False):
        lowered.compile(progress=lambda *step: told.append(step))
    names = [*stages.NAMES[1:], "object"]
    assert told == [(name, done, len(names)) for done, name in enumerate(names)]
