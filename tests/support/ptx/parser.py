"""Tokens to a module: directives, declarations, functions, instructions.

Names are resolved while parsing, because inline assembly opens scopes (`{ .reg .pred p; … }`) in which the same name
means another register or another label.
"""

from __future__ import annotations

import re

import numpy as np

from ptx import syntax as ast
from ptx.errors import PtxSyntaxError, UnsupportedPtx
from ptx.lexer import Token, number, tokens
from ptx.types import TYPES, Scalar

_SPACES = ("reg", "shared", "global", "const", "local", "param")
_LINKAGE = {".visible", ".extern", ".weak", ".common", ".unique"}
_SKIPPED_LINES = {".file", ".loc", ".pragma"}
_SPECIAL = re.compile(
    r"%(n?tid|n?ctaid|(n?cluster|cluster_n?cta)id)\.[xyz]$|%(laneid|warpid|nwarpid|smid|nsmid|gridid|clock(_hi|64)?|"
    r"globaltimer(_lo|_hi)?|lanemask_(eq|lt|le|gt|ge)|dynamic_smem_size|total_smem_size|cluster_n?ctarank|"
    r"is_explicit_cluster|pm\d+|envreg\d+)$"
)


class Scope:
    """Registers, variables and labels between two braces; `ranges` are declarations such as `%r<10>`."""

    def __init__(self, parent: Scope | None) -> None:
        self.parent = parent
        self.names: dict[str, ast.Register | ast.Variable] = {}
        self.ranges: dict[str, tuple[int, Scalar]] = {}
        self.labels: dict[str, int] = {}


class Parser:
    """A recursive-descent parser over the tokens of one file."""

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

    # ---- module --------------------------------------------------------------------------------------------------
    def module(self) -> ast.ModuleSyntax:
        """Parse the whole file."""
        version = target = ""
        while self.at < len(self.tokens):
            token = self.peek()
            if token.text == ".version":
                self.take()
                version = self.take().text
            elif token.text == ".target":
                self.take()
                target = self.take().text
                while self.accept(","):
                    self.take()
            elif token.text == ".address_size":
                self.take()
                if self.integer() != 64:
                    raise UnsupportedPtx(f"line {token.line}: only .address_size 64")
            elif token.text == ".section":
                self.skip_section()
            elif token.text in _SKIPPED_LINES:
                self.skip_line(token)
            elif token.text == ";":
                self.take()
            else:
                self.top_level()
        return ast.ModuleSyntax(version, target, self.functions, self.variables, self.registers)

    def skip_line(self, token: Token) -> None:
        """Skip a directive that ends with its line (debug information, pragmas)."""
        while self.at < len(self.tokens) and self.peek().line == token.line:
            self.take()

    def skip_section(self) -> None:
        """Skip a section of debug information."""
        while not self.accept("{"):
            self.take()
        while not self.accept("}"):
            self.take()

    def top_level(self) -> None:
        linkage = set()
        while self.peek().text in _LINKAGE:
            linkage.add(self.take().text)
        token = self.peek()
        if token.text in (".entry", ".func"):
            self.take()
            self.parse_function(token.text == ".entry")
        elif token.text in (".shared", ".global", ".const"):
            self.take()
            for variable in self.declaration(token.text[1:]):
                variable.external = ".extern" in linkage
                self.variables.append(variable)
        else:
            raise PtxSyntaxError(f"line {token.line}: unexpected {token.text!r} between functions")

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

    # ---- functions -----------------------------------------------------------------------------------------------
    def parameters(self) -> list[ast.Variable]:
        """Parse a list of parameters in parentheses."""
        found = []
        self.expect("(")
        while not self.accept(")"):
            kind = self.take()
            if kind.text not in (".param", ".reg"):
                raise PtxSyntaxError(f"line {kind.line}: expected .param, found {kind.text!r}")
            if kind.text == ".reg":
                raise UnsupportedPtx(f"line {kind.line}: parameters in registers")
            found.append(self.variable("param", *self.variable_type()))
            self.accept(",")
        return found

    def parse_function(self, entry: bool) -> None:
        outer, self.scope = self.scope, Scope(self.scope)
        results = self.parameters() if self.peek().text == "(" else []
        name = self.take().text
        function = ast.Function(name, entry, results=results)
        if self.peek().text == "(":
            function.params = self.parameters()
        while self.peek().kind == "directive":
            directive = self.take().text[1:]
            values = []
            while self.peek().kind == "number":
                values.append(self.integer())
                self.accept(",")
            function.limits[directive] = tuple(values)
        known = self.functions.get(name)
        if not self.accept(";"):
            function.declared_only = False
            self.function, self.pending = function, []
            self.expect("{")
            self.block()
            self.resolve_labels()
            self.function = None
        if known is None or known.declared_only:
            self.functions[name] = function
        self.scope = outer

    def block(self) -> None:
        """Parse statements up to the closing brace."""
        assert self.function is not None
        while not self.accept("}"):
            token = self.peek()
            if token.text == "{":
                self.take()
                outer, self.scope = self.scope, Scope(self.scope)
                self.block()
                self.scope = outer
            elif token.text == ";":
                self.take()
            elif token.text == ".reg":
                self.take()
                self.registers_of()
            elif token.kind == "directive" and token.text[1:] in _SPACES:
                self.take()
                self.function.variables += self.declaration(token.text[1:])
            elif token.text in _SKIPPED_LINES:
                self.skip_line(token)
            elif token.kind == "word" and self.tokens[self.at + 1].text == ":":
                self.label(token.text)
            else:
                self.instruction()

    def label(self, name: str) -> None:
        assert self.function is not None
        line = self.take().line
        self.expect(":")
        if self.peek().text in (".branchtargets", ".callprototype", ".calltargets"):
            if self.take().text != ".branchtargets":
                raise UnsupportedPtx(f"line {line}: indirect calls")
            targets = []
            while not self.accept(";"):
                target = ast.Name(self.take().text)
                self.pending.append((target, self.scope, line))
                targets.append(target)
                self.accept(",")
            self.function.tables[name] = targets
            return
        if name in self.scope.labels:
            raise PtxSyntaxError(f"line {line}: label {name} twice")
        self.scope.labels[name] = len(self.function.body)

    def resolve_labels(self) -> None:
        """Give each label operand its target; names of functions and tables keep -1."""
        assert self.function is not None
        for name, scope, line in self.pending:
            place: Scope | None = scope
            while place is not None and name.text not in place.labels:
                place = place.parent
            if place is not None:
                name.target = place.labels[name.text]
            elif name.text not in self.functions and name.text not in self.function.tables:
                if name.text != self.function.name:
                    raise PtxSyntaxError(f"line {line}: unknown name {name.text!r}")

    # ---- instructions --------------------------------------------------------------------------------------------
    def instruction(self) -> None:
        assert self.function is not None
        first = self.peek()
        guard, negated = None, False
        if self.accept("@"):
            negated = self.accept("!")
            found = self.lookup(self.take().text)
            if not isinstance(found, ast.Register):
                raise PtxSyntaxError(f"line {first.line}: the guard is no register")
            guard = found
        token = self.take()
        if token.kind != "word":
            raise PtxSyntaxError(f"line {token.line}: expected an instruction, found {token.text!r}")
        operands = []
        while not self.accept(";"):
            operands.append(self.operand())
            if self.peek().text != ";":
                self.expect(",")
        text = self.lines[first.line - 1].strip()
        parts = tuple(token.text.split("."))
        self.function.body.append(ast.Instruction(parts, operands, guard, negated, first.line, text))

    def operand(self) -> ast.Operand:
        token = self.take()
        if token.text == "{":
            return ast.Vector(tuple(self.items("}")))
        if token.text == "(":
            return ast.Arguments(tuple(self.items(")")))
        if token.text == "[":
            return self.address()
        if token.text == "!":
            found = self.operand()
            if not isinstance(found, ast.Register):
                raise PtxSyntaxError(f"line {token.line}: `!` needs a predicate register")
            return ast.Not(found)
        if token.text == "-":
            value = number(self.take().text)
            return ast.Immediate(-value)
        if token.kind == "number":
            return ast.Immediate(number(token.text))
        if token.kind != "word":
            raise PtxSyntaxError(f"line {token.line}: unexpected {token.text!r} in operands")
        found = self.named(token)
        if self.accept("|"):
            return ast.Pair(found, self.operand())
        return found

    def items(self, end: str) -> list[ast.Operand]:
        found = []
        while not self.accept(end):
            found.append(self.operand())
            self.accept(",")
        return found

    def named(self, token: Token) -> ast.Operand:
        """Return what a word means as an operand."""
        if token.text == "_":
            return ast.Sink()
        found = self.lookup(token.text)
        if isinstance(found, ast.Register):
            return found
        if isinstance(found, ast.Variable):
            offset = 0
            if self.peek().text in ("+", "-"):
                offset = self.integer() if self.accept("+") else self.integer()
            return ast.Symbol(found, offset)
        if _SPECIAL.match(token.text):
            return ast.Special(token.text)
        if token.text in ("WARP_SZ",):
            return ast.Immediate(32)
        if token.text.startswith("%"):
            raise PtxSyntaxError(f"line {token.line}: unknown register {token.text}")
        name = ast.Name(token.text)
        self.pending.append((name, self.scope, token.line))
        return name

    def address(self) -> ast.Address:
        """Parse the inside of brackets: a base, an offset, coordinates of a tensor copy."""
        base = self.operand()
        offset, extra = 0, []
        if isinstance(base, ast.Symbol):
            base, offset = ast.Symbol(base.variable), base.offset
        if self.accept("+"):
            offset = self.integer()
        elif self.peek().text == "-":
            offset = self.integer()
        while self.accept(","):
            extra.append(self.operand())
        self.expect("]")
        return ast.Address(base, offset, tuple(extra))


def encode(value: int | float, scalar: Scalar) -> bytes:
    """Return the bytes of a literal of a type; an integer literal of a float type is its bits."""
    if isinstance(value, float):
        return np.array(value, scalar.dtype).tobytes()
    return (value & ((1 << scalar.bits) - 1)).to_bytes(scalar.bytes, "little")


def parse(text: str) -> ast.ModuleSyntax:
    """Parse PTX text.

    Raises:
        PtxSyntaxError: text that is not PTX.
        UnsupportedPtx: directives outside of the subset.
    """
    return Parser(text).module()
