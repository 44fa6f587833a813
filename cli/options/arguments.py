"""Command-line arguments from the annotations of a settings class, and the settings they give.

Understood are ``int``, ``float``, ``str``, ``Path``, ``bool`` (a switch from its default),
enumerations (by value), ``X | None``, ``tuple[X, ...]`` (several words; of ``bool``: on and off),
each with an ``Option``, and nested settings. Fields without an ``Option`` are no arguments.
"""

from __future__ import annotations

from argparse import SUPPRESS
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from midfill.recipes.options import Option

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer
    from collections.abc import Iterator, Mapping

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True)
class _Argument:
    """A field that the command line asks for."""

    name: str
    kind: type[Any]
    """The type of the value, or of an element."""
    is_tuple: bool
    default: Any
    """MISSING: it must be given."""
    option: Option

    @property
    def choices(self) -> Mapping[str, object]:
        """The values by their words, if only some are allowed."""
        if issubclass(self.kind, Enum):
            return {member.value: member for member in self.kind}
        return {"on": True, "off": False} if self.kind is bool and self.is_tuple else {}

    @property
    def flag(self) -> str:
        """The name on the command line."""
        flag = self.option.flag
        return "--" + self.name.replace("_", "-") if flag is None else flag

    @property
    def is_switch(self) -> bool:
        """Whether it is followed by no value."""
        return self.kind is bool and not self.is_tuple

    @property
    def help(self) -> str:
        """The meaning and the default."""
        default = self.option.default
        if default is None:
            default = "" if self.is_switch else _told(self.default)
        return f"{self.option.meaning} {default and f'(default: {default})'}".strip()

    def add(self, to: _ActionsContainer) -> None:
        """Let a parser, or a group of one, know the argument; it has no default there."""
        words: dict[str, Any] = {"help": self.help, "default": SUPPRESS}
        if self.flag:
            words |= {"dest": self.name, "required": self.default is MISSING}
        if self.is_switch:
            words["action"] = "store_false" if self.default else "store_true"
        else:
            words |= {"metavar": self.option.metavar, "type": self.option.parse or self.kind}
        if self.is_tuple:
            words["nargs"] = self.option.nargs
        if self.choices:
            words |= {"type": str, "choices": list(self.choices)}
        to.add_argument(self.flag or self.name, **words)

    def value(self, given: Any) -> Any:
        """The field's value for what argparse read."""
        if self.is_tuple:
            return self.option.collect([self.choices.get(each, each) for each in given])
        return self.choices.get(given, given)


def add_settings(parser: ArgumentParser, cls: type[Any]) -> None:
    """Add the arguments of a settings class, in its order and under its headings."""
    group: _ActionsContainer = parser
    for argument in _arguments(cls):
        if argument.option.group:
            group = parser.add_argument_group(argument.option.group)
        argument.add(group)


def read_settings(cls: type[Settings], args: Namespace, **others: object) -> Settings:
    """The settings that were asked for; the class's defaults hold for the rest.

    Args:
        cls: The settings class.
        args: What a parser with the class's arguments read.
        others: Values of fields that are no arguments.
    """
    given = vars(args)
    values = {a.name: a.value(given[a.name]) for a in _own(cls) if a.name in given}
    nested = {name: read_settings(kind, args) for name, kind in _nested(cls)}
    return cls(**values, **nested, **others)


def _arguments(cls: type[Any]) -> Iterator[_Argument]:
    yield from _own(cls)
    for _, kind in _nested(cls):
        yield from _arguments(kind)


def _nested(cls: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    for name, kind in get_type_hints(cls).items():
        if isinstance(kind, type) and is_dataclass(kind):
            yield name, kind


def _own(cls: type[Any]) -> Iterator[_Argument]:
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        annotated = get_args(hints[field.name])
        options = [extra for extra in annotated[1:] if isinstance(extra, Option)]
        if options:
            kind, is_tuple = _kind(annotated[0])
            default = field.default if field.default_factory is MISSING else field.default_factory()
            yield _Argument(field.name, kind, is_tuple, default, options[0])


def _kind(annotation: Any) -> tuple[type[Any], bool]:
    """The type of a value or of an element, and whether there are several."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (UnionType, Union):
        return _kind(next(argument for argument in arguments if argument is not NoneType))
    if origin is tuple:
        return _kind(arguments[0])[0], True
    return annotation, False


def _told(default: Any) -> str:
    """A default in the words of the command line; empty where there is nothing to tell."""
    match default:
        case tuple():
            return " ".join(map(_told, default))
        case Enum():
            return str(default.value)
        case bool():
            return "on" if default else "off"
        case float():
            return f"{default:g}"
    return "" if default in (None, MISSING) else str(default)
