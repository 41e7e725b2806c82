"""Text to tokens.  A mnemonic with its modifiers (`ld.shared::cta.v4.b32`) is one token."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from ptx.errors import PtxSyntaxError

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<string>"[^"]*")
  | (?P<number>0[fF][0-9a-fA-F]{8}\b|0[dD][0-9a-fA-F]{16}\b|0[xX][0-9a-fA-F]+U?|0[bB][01]+U?
              |\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+U?)
  | (?P<word>[%$_A-Za-z][\w$]*(?:\.\w+(?:::\w+)*)*)
  | (?P<directive>\.\w+(?:::\w+)*)
  | (?P<punctuation>[{}()\[\],;:+\-!@|<>=])
    """,
    re.X | re.S,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind (`string`, `number`, `word`, `directive`, `punctuation`), text and line (from 1)."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    """Split PTX text.

    Raises:
        PtxSyntaxError: a character that starts no token.
    """
    found: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PtxSyntaxError(f"line {line}: unexpected {text[at : at + 20]!r}")
        kind = match.lastgroup or "space"
        if kind != "space":
            found.append(Token(kind, match[0], line))
        line += match[0].count("\n")
        at = match.end()
    return found


def number(text: str) -> int | float:
    """Return the value of a number token: an int, or a float for `0f…`, `0d…` and decimal fractions."""
    lower = text.lower()
    if lower.startswith("0f") and len(text) == 10:
        return struct.unpack("<f", struct.pack("<I", int(text[2:], 16)))[0]
    if lower.startswith("0d") and len(text) == 18:
        return struct.unpack("<d", struct.pack("<Q", int(text[2:], 16)))[0]
    lower = lower.rstrip("u")
    if lower.startswith(("0x", "0b")):
        return int(lower, 0)
    if any(mark in lower for mark in ".e"):
        return float(lower)
    return int(lower, 8) if len(lower) > 1 and lower.startswith("0") else int(lower)
