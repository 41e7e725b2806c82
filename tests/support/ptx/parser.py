"""Tokens to a module: directives, functions, instructions and their operands."""

from __future__ import annotations

import re

from ptx import syntax as ast
from ptx.declarations import Declarations, Scope
from ptx.errors import PtxSyntaxError, UnsupportedPtx
from ptx.lexer import Token, number

_SPACES = ("reg", "shared", "global", "const", "local", "param")
_LINKAGE = {".visible", ".extern", ".weak", ".common", ".unique"}
_SKIPPED_LINES = {".file", ".loc", ".pragma"}
_SPECIAL = re.compile(
    r"%(n?tid|n?ctaid|(n?cluster|cluster_n?cta)id)\.[xyz]$|%(laneid|warpid|nwarpid|smid|nsmid|gridid|clock(_hi|64)?|"
    r"globaltimer(_lo|_hi)?|lanemask_(eq|lt|le|gt|ge)|dynamic_smem_size|total_smem_size|cluster_n?ctarank|"
    r"is_explicit_cluster|pm\d+|envreg\d+)$"
)


class Parser(Declarations):
    """A recursive-descent parser over the tokens of one file."""

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
                self.accept("+")
                offset = self.integer()
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
        if self.accept("+") or self.peek().text == "-":
            offset = self.integer()
        while self.accept(","):
            extra.append(self.operand())
        self.expect("]")
        return ast.Address(base, offset, tuple(extra))


def parse(text: str) -> ast.ModuleSyntax:
    """Parse PTX text.

    Raises:
        PtxSyntaxError: text that is not PTX.
        UnsupportedPtx: directives outside of the subset.
    """
    return Parser(text).module()
