"""Option dataclasses from JSON, by their annotations alone; a bad option becomes its default.

Understood are ``bool``, ``int``, ``float``, ``str``, enumerations (by value), ``Literal``,
``tuple[X, ...]``, ``X | None``, ``Annotated[X, Range(...)]`` and nested dataclasses.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import reprlib
import textwrap
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the greatest allowed number, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Problem:
    """One option that was not taken."""

    name: str
    """The option, dotted, as the client writes it: ``midfill.completion.maxTokens``."""
    value: object
    allowed: str
    used: str
    """The value that holds instead."""

    def __str__(self) -> str:
        """A line for the user."""
        value = reprlib.repr(self.value)
        return f"{self.name} cannot be {value}; allowed: {self.allowed}. Using {self.used}"


@dataclass(frozen=True, slots=True)
class Row:
    """One option, for a table."""

    name: str
    allowed: str
    default: str
    """The value as JSON."""
    meaning: str


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an annotation allows, in words, and how a JSON value becomes one of it."""

    allowed: str
    convert: Callable[[object], object]
    """Gives the value for a JSON value; raises ValueError for what is not allowed."""


def read(cls: type[Options], raw: object, name: str) -> tuple[Options, list[Problem]]:
    """The options in ``raw``, which is any JSON value; null means "not set"."""
    problems: list[Problem] = []
    return _read(cls, raw, name, problems), problems


def describe(cls: type[Any], name: str) -> tuple[Row, ...]:
    """A row for each option, nested ones in place; the meaning is the attribute's docstring."""
    return tuple(_rows(cls, name))


def _read(cls: type[Options], raw: object, name: str, problems: list[Problem]) -> Options:
    if raw in (None, []):  # an empty Lua table may come as a list
        return cls()
    if not isinstance(raw, dict):
        problems.append(Problem(name, raw, "an object with options", "the defaults"))
        return cls()
    annotations: dict[str, Any] = get_type_hints(cls, include_extras=True)
    values: dict[str, object] = {}
    for key, value in raw.items():
        field, path = _snake(str(key)), f"{name}.{key}"
        if field not in annotations:
            known = f"one of these options: {', '.join(map(_camel, annotations))}"
            problems.append(Problem(path, value, known, "none of it"))
        elif is_dataclass(annotations[field]):
            values[field] = _read(annotations[field], value, path, problems)
        elif value is not None:
            kind, default = _kind(annotations[field]), getattr(cls(), field)
            values[field] = _convert(kind, value, default, path, problems)
    return cls(**values)


def _convert(
    kind: _Kind, value: object, default: object, name: str, problems: list[Problem]
) -> object:
    try:
        return kind.convert(value)
    except ValueError:
        problems.append(Problem(name, value, kind.allowed, f"the default, {_json(default)}"))
        return default


def _kind(annotation: Any) -> _Kind:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _ranged(_kind(arguments[0]), arguments[1])
    if origin in (UnionType, Union):
        return _optional(_kind(next(a for a in arguments if a is not NoneType)))
    if origin is Literal:
        return _one_of({value: value for value in arguments})
    if origin is tuple:
        return _list_of(_kind(arguments[0]))
    if issubclass(annotation, Enum):
        return _one_of({member.value: member for member in annotation})
    return _PLAIN[annotation]


def _ranged(kind: _Kind, limits: Range) -> _Kind:
    def convert(value: object) -> object:
        """Let a number in the range through."""
        number = kind.convert(value)
        if isinstance(number, int | float) and limits.low <= number <= limits.high:
            return number
        raise ValueError

    return _Kind(f"{kind.allowed} from {limits.low} to {limits.high}", convert)


def _optional(kind: _Kind) -> _Kind:
    return _Kind(f"{kind.allowed}, or null", kind.convert)


def _one_of(members: Mapping[str, object]) -> _Kind:
    def convert(value: object) -> object:
        """Take a member by its name."""
        if isinstance(value, str) and value in members:
            return members[value]
        raise ValueError

    return _Kind(", ".join(json.dumps(name) for name in members), convert)


def _list_of(kind: _Kind) -> _Kind:
    def convert(value: object) -> object:
        """Convert each element."""
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(kind.convert(element) for element in value)

    return _Kind(f"a list; each element {kind.allowed}", convert)


def _plain(allowed: str, *types: type) -> _Kind:
    """JSON's booleans are numbers to Python, but not to the user."""

    def convert(value: object) -> object:
        """Let a value of the type through."""
        if isinstance(value, types) and isinstance(value, bool) == (bool in types):
            return value
        raise ValueError

    return _Kind(allowed, convert)


_PLAIN: Mapping[type, _Kind] = {
    bool: _plain("true or false", bool),
    int: _plain("a whole number", int),
    float: _plain("a number", int, float),
    str: _plain("a text", str),
}


def _rows(cls: type[Any], name: str) -> Iterator[Row]:
    annotations: dict[str, Any] = get_type_hints(cls, include_extras=True)
    meanings = _meanings(cls)
    for field in fields(cls):
        path = f"{name}.{_camel(field.name)}"
        if is_dataclass(annotations[field.name]):
            yield from _rows(annotations[field.name], path)
        else:
            allowed = _kind(annotations[field.name]).allowed
            yield Row(path, allowed, _json(field.default), meanings[field.name])


def _meanings(cls: type[Any]) -> dict[str, str]:
    """The docstrings below the fields of a class, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = next(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    meanings = {}
    for field, below in pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                meanings[name] = inspect.cleandoc(text)
    return meanings


def _json(value: object) -> str:
    return json.dumps(value.value if isinstance(value, Enum) else value)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
