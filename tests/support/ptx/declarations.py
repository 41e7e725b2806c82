"""Declarations: registers and variables, the scopes that know their names, initial values.

Names are resolved while parsing, because inline assembly opens scopes (`{ .reg .pred p; … }`) in which the same name
means another register or another label.
"""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.errors import PtxSyntaxError, UnsupportedPtx
from ptx.lexer import Token, number, tokens
from ptx.types import TYPES, Scalar


class Scope:
    """Registers, variables and labels between two braces; `ranges` are declarations such as `%r<10>`."""

    def __init__(self, parent: Scope | None) -> None:
        self.parent = parent
        self.names: dict[str, ast.Register | ast.Variable] = {}
        self.ranges: dict[str, tuple[int, Scalar]] = {}
        self.labels: dict[str, int] = {}


class Declarations:
    """A reader of the tokens of one file, as far as declarations go."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.tokens = tokens(text)
        self.at = 0
        self.registers: list[ast.Register] = []
        self.functions: dict[str, ast.Function] = {}
        self.variables: list[ast.Variable] = []
        self.scope = Scope(None)
        self.function: ast.Function | None = None
        self.pending: list[tuple[ast.Name, Scope, int]] = []

    # ---- tokens --------------------------------------------------------------------------------------------------
    def peek(self) -> Token:
        if self.at >= len(self.tokens):
            raise PtxSyntaxError("unexpected end of the file")
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, text: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at].text == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> Token:
        token = self.take()
        if token.text != text:
            raise PtxSyntaxError(f"line {token.line}: expected {text!r}, found {token.text!r}")
        return token

    def integer(self) -> int:
        negative = self.accept("-")
        token = self.take()
        value = number(token.text) if token.kind == "number" else None
        if not isinstance(value, int):
            raise PtxSyntaxError(f"line {token.line}: expected an integer, found {token.text!r}")
        return -value if negative else value

    # ---- declarations --------------------------------------------------------------------------------------------
    def declaration(self, space: str) -> list[ast.Variable]:
        """Parse what follows a state space up to `;` and return the variables, which the scope now knows."""
        found = []
        align, scalar, count = self.variable_type()
        while True:
            found.append(self.variable(space, align, scalar, count))
            if not self.accept(","):
                break
        self.expect(";")
        return found

    def variable_type(self) -> tuple[int, Scalar, int]:
        """Parse `.align 16 .v4 .b8 .attribute(…) .ptr .global .align 4`: alignment, element type, vector length."""
        align, count, scalar = 0, 1, None
        while self.peek().kind == "directive":
            text = self.take().text[1:]
            if text == "align":
                value = self.integer()
                align = align or value
            elif text in ("v2", "v4"):
                count = int(text[1])
            elif text == "attribute":
                self.expect("(")
                while not self.accept(")"):
                    self.take()
            elif text == "ptr":
                while self.peek().kind == "directive":
                    if self.take().text == ".align":
                        self.integer()
            elif text in TYPES:
                scalar = TYPES[text]
            else:
                raise UnsupportedPtx(f"line {self.peek().line}: .{text} in a declaration")
        if scalar is None:
            raise PtxSyntaxError(f"line {self.peek().line}: a declaration without a type")
        return align, scalar, count

    def variable(self, space: str, align: int, scalar: Scalar, count: int) -> ast.Variable:
        token = self.take()
        size = scalar.bytes * count
        while self.accept("["):
            size = 0 if self.peek().text == "]" else size * self.integer()
            self.expect("]")
        found = ast.Variable(token.text, space, scalar, size, align or scalar.bytes * count)
        if self.accept("="):
            self.initialiser(found)
        self.scope.names[token.text] = found
        return found

    def initialiser(self, variable: ast.Variable) -> None:
        """Parse `= {1, 2, name+8}`; rows of a matrix may be braced, too."""
        words = bytearray()

        def value() -> None:
            if self.accept("{"):
                while not self.accept("}"):
                    value()
                    self.accept(",")
                return
            token = self.peek()
            if token.kind == "word":
                self.take()
                name = token.text
                if name == "generic":
                    self.expect("(")
                    name = self.take().text
                    self.expect(")")
                addend = self.integer() if self.accept("+") else 0
                variable.addresses.append((len(words), name, addend))
                words.extend(bytes(variable.type.bytes))
                return
            negative = self.accept("-")
            literal = number(self.take().text)
            words.extend(encode(-literal if negative else literal, variable.type))

        value()
        if not variable.size:
            variable.size = len(words)
        variable.init = bytes(words).ljust(variable.size, b"\0")

    def registers_of(self) -> None:
        """Parse what follows `.reg`."""
        scalar = None
        while self.peek().kind == "directive":
            text = self.take().text[1:]
            if text not in TYPES:
                raise UnsupportedPtx(f"line {self.peek().line}: registers of type .{text}")
            scalar = TYPES[text]
        assert scalar is not None
        while True:
            name = self.take().text
            if self.accept("<"):
                self.scope.ranges[name] = (self.integer(), scalar)
                self.expect(">")
            else:
                self.scope.names[name] = self.new_register(name, scalar)
            if not self.accept(","):
                break
        self.expect(";")

    def new_register(self, name: str, scalar: Scalar) -> ast.Register:
        register = ast.Register(name, scalar, len(self.registers))
        self.registers.append(register)
        return register

    def lookup(self, name: str) -> ast.Register | ast.Variable | None:
        """Return what a name means here; registers of a range come to life at their first use."""
        scope: Scope | None = self.scope
        stem = name.rstrip("0123456789")
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            if stem in scope.ranges and stem != name:
                count, scalar = scope.ranges[stem]
                if int(name[len(stem) :]) < count:
                    register = self.new_register(name, scalar)
                    scope.names[name] = register
                    return register
            scope = scope.parent
        return None


def encode(value: int | float, scalar: Scalar) -> bytes:
    """Return the bytes of a literal of a type; an integer literal of a float type is its bits."""
    if isinstance(value, float):
        return np.array(value, scalar.dtype).tobytes()
    return (value & ((1 << scalar.bits) - 1)).to_bytes(scalar.bytes, "little")
