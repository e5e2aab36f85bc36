"""Small mutations of Python code that a service's tests should detect.

Annotations and text for people, such as docstrings, help and messages, are not mutated.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

SWAPPED: Mapping[type[ast.AST], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}

OPPOSITES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)

TEXT_KEYWORDS = {"help", "description", "label"}

LOGS = {"debug", "info", "warning", "error", "exception", "log"}

SQL = re.compile(r"[A-Z]{2}")
"""Prefixes of strings that contain spaces but are not text for people."""


@dataclass(frozen=True)
class Change:
    """A small change to a file."""

    what: str
    start: int
    """Start of the replaced text, in bytes."""
    end: int
    new: str

    def of(self, source: bytes) -> str:
        """Return the source with the change applied."""
        return (source[: self.start] + self.new.encode() + source[self.end :]).decode()


class Changes:
    """The possible mutations of a Python file."""

    def __init__(self, source: bytes) -> None:
        """Parse a file's source."""
        self._source = source
        self._lines = [0, *accumulate(map(len, source.splitlines(keepends=True)))]

    def by_identity(self) -> dict[tuple[object, ...], Change]:
        """Return the changes, keyed so that equal statements in different files share a key."""
        found: dict[tuple[object, ...], Change] = {}
        for statement in ast.parse(self._source).body:
            start, end = self._place(statement)
            for each in self._below(statement):
                key = (self._source[start:end], each.start - start, each.end - start, each.new)
                found[key] = each
        return found

    def _place(self, node: ast.stmt | ast.expr | ast.keyword) -> tuple[int, int]:
        start = self._lines[node.lineno - 1] + node.col_offset
        return start, self._lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def _below(self, node: ast.AST) -> Iterator[Change]:
        yield from self._at(node)
        for child in self._parts(node):
            yield from self._below(child)

    def _parts(self, node: ast.AST) -> Iterator[ast.AST]:
        """Return a node's children; from annotations, only calls such as Depends() and Field()."""
        match node:
            case ast.JoinedStr():  # most are messages
                return
            case ast.Expr(value=ast.Constant()):  # a docstring
                return
            case ast.arg(annotation=annotation):
                yield from _calls(annotation)
            case ast.AnnAssign(annotation=annotation, value=value):
                yield from _calls(annotation)
                yield from filter(None, [value])
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from (*node.decorator_list, node.args, *node.body)
            case ast.Call():
                yield from (node.func, *(node.args[1:] if _name(node.func) in LOGS else node.args))
                yield from (each for each in node.keywords if each.arg not in TEXT_KEYWORDS)
            case _:
                yield from ast.iter_child_nodes(node)

    def _at(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare():
                operands = pairwise([node.left, *node.comparators])
                for operator, pair in zip(node.ops, operands, strict=True):
                    yield self._swap(operator, *pair)
            case ast.BoolOp():
                for pair in pairwise(node.values):
                    yield self._swap(node.op, *pair)
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                yield from self._negate(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    yield from self._negate(test)
            case ast.Constant(value=value) if (other := _other(value)) is not None:
                yield Change(f"{value!r} is {other!r}", *self._place(node), repr(other))
            case ast.Expr(value=ast.Constant() | ast.Yield()):
                return
            case ast.Return(value=None | ast.Constant(value=None)):
                return
            case ast.Expr() | ast.Raise() | ast.AugAssign():
                yield self._remove(node)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield self._remove(node)
            case ast.Return():
                yield Change("None is returned", *self._place(node), "return None")
            case ast.Call():
                for keyword in node.keywords:
                    if keyword.arg and keyword.arg not in TEXT_KEYWORDS:
                        yield self._drop(node, keyword)

    def _remove(self, statement: ast.stmt) -> Change:
        return Change("a statement is removed", *self._place(statement), "pass")

    def _swap(self, operator: ast.AST, left: ast.expr, right: ast.expr) -> Change:
        old, new = SWAPPED[type(operator)]
        start = self._source.index(old.encode(), self._place(left)[1], self._place(right)[0])
        return Change(f"`{old}` is `{new}`", start, start + len(old), new)

    def _negate(self, test: ast.expr) -> Iterator[Change]:
        # Swapping the operator has the same effect, so negation would be redundant.
        if not (isinstance(test, ast.Compare) and isinstance(test.ops[0], OPPOSITES)):
            start, end = self._place(test)
            new = f"(not ({self._source[start:end].decode()}))"
            yield Change("the condition is its opposite", start, end, new)

    def _drop(self, call: ast.Call, keyword: ast.keyword) -> Change:
        start, end = self._place(keyword)
        places = [*map(self._place, call.args), *map(self._place, call.keywords)]
        if before := [place[1] for place in places if place[1] < start]:
            start = self._source.index(b",", max(before))
        elif comma := re.match(rb"\s*,\s*", self._source[end:]):
            end += comma.end()
        return Change(f"{keyword.arg} is not passed", start, end, "")


def _calls(annotation: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(annotation, ast.Call):
        yield annotation
    elif annotation:
        for child in ast.iter_child_nodes(annotation):
            yield from _calls(child)


def _name(function: ast.expr) -> object:
    return getattr(function, "attr", getattr(function, "id", None))


def _other(value: object) -> object:
    """Return a replacement for a value, or None if it is text for people."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if " " not in value or SQL.match(value):
            return value + "x"
        case bytes():
            return value + b"x"
    return None
