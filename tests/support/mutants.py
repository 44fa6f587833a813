"""Mutants of a Python module: its syntax tree with one small fault in it.

Left as they are: annotations, docstrings, decorators, assertions (they state what is impossible),
what only a type checker reads, and the wording of errors and of logs.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
"""Operators and statements, and what stands in their place."""
OTHER_NAME = {"min": "max", "max": "min", "any": "all", "all": "any"}
OTHER_METHOD = {
    "startswith": "endswith",
    "endswith": "startswith",
    "partition": "rpartition",
    "rpartition": "partition",
    "find": "rfind",
    "rfind": "find",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
}
_WORDING = ("debug", "info", "warning", "error", "exception")
_ANNOTATIONS = ("annotation", "returns", "decorator_list", "type_params")


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    line: int
    before: str
    after: str
    """What it changes, and into what, as source text of one line."""
    source: str
    number: tuple[int, int]
    """The node's, and the change's among those of the node."""

    def __str__(self) -> str:
        return f"{self.line}: {self.before} -> {self.after}"

    def tree(self) -> ast.Module:
        """The module with the fault in it."""
        tree = ast.parse(self.source)
        number, change = self.number
        node = next(islice(_nodes(tree), number, None))
        field, index, new = next(islice(_changes(node), change, None))
        _exchange(node, field, index, new)
        return ast.fix_missing_locations(tree)


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text."""
    found = []
    for number, node in enumerate(list(_nodes(ast.parse(source)))):
        for change, (field, index, new) in enumerate(list(_changes(node))):
            old = _exchange(node, field, index, new)
            after = _text(node, new)
            _exchange(node, field, index, old)
            line = getattr(old, "lineno", 0) or getattr(node, "lineno", 0)
            found.append(Mutant(line, _text(node, old), after, source, (number, change)))
    return sorted(found, key=lambda mutant: mutant.line)


def _exchange(node: ast.AST, field: str, index: int | None, new: ast.AST | None) -> ast.AST | None:
    """Put a new child in its place; the old one."""
    children = getattr(node, field)
    old: ast.AST | None = children if index is None else children[index]
    if new and old:
        ast.copy_location(new, old)
    if index is None:
        setattr(node, field, new)
    else:
        children[index] = new
    return old


def _text(parent: ast.AST, child: ast.AST | None) -> str:
    """What is shown of a change: a statement's first line, or all of an expression around it."""
    shown = child if isinstance(child, ast.stmt | ast.expr) and _is_whole(parent) else parent
    return "nothing" if child is None else ast.unparse(shown).partition("\n")[0]


def _is_whole(parent: ast.AST) -> bool:
    blocks = ast.Module | ast.FunctionDef | ast.ClassDef | ast.If | ast.For | ast.While
    return isinstance(parent, blocks)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed, each before what it consists of."""
    yield tree
    for field, value in ast.iter_fields(tree):
        if field in _ANNOTATIONS:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield from _nodes(child)


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Assert() | ast.Raise() | ast.Import() | ast.ImportFrom() | ast.JoinedStr():
            return True
        case ast.Expr(value=value):
            return isinstance(value, ast.Constant) or _is_left_alone(value)
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=attr)):
            return attr in _WORDING
        case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__" | "logger")]):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, int | None, ast.AST | None]]:
    """Field, index in it, and new value of each change of a node itself or of its children."""
    for field, value in ast.iter_fields(node):
        if field in _ANNOTATIONS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield from ((field, index, new) for new in _instead(child))
    if isinstance(node, ast.Slice):
        yield from ((bound, None, None) for bound in ("lower", "upper") if getattr(node, bound))


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    if type(node) in SWAPPED:
        yield SWAPPED[type(node)]()
    yield from _other_statements(node)
    match node:
        case ast.Constant():
            yield from _other_constants(node.value)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.If() | ast.While() | ast.IfExp():
            other = copy.copy(node)
            other.test = ast.UnaryOp(ast.Not(), node.test)
            yield other
        case ast.Name(id=name, ctx=ast.Load()) if name in OTHER_NAME:
            yield ast.Name(OTHER_NAME[name], ast.Load())
        case ast.Attribute(attr=attr) if attr in OTHER_METHOD:
            yield ast.Attribute(node.value, OTHER_METHOD[attr], node.ctx)


def _other_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Yield()):
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Assign() if not isinstance(node.value, ast.Constant):
            yield ast.Assign(node.targets, ast.Constant(None))
        case ast.AugAssign():
            yield ast.Pass()


def _other_constants(value: object) -> Iterator[ast.Constant]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str():
            yield ast.Constant(value + "X")
        case bytes():
            yield ast.Constant(value + b"X")
