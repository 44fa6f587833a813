"""Refuse, don't guess: what every format shares.

A key that could change the result and is not understood is an ``UnsupportedModelError``; a key or
tensor that is missing, left over or of the wrong kind is a ``CorruptModelError``.
"""

from __future__ import annotations

import json
import reprlib
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.families import expected_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from midfill.weights.architecture import LlamaArchitecture, TokenizerData

T = TypeVar("T")

NAMES_SHOWN = 5
_LARGEST = sys.float_info.max
MOST_LAYERS = 1000
"""Layers that are believed without a tensor for each."""
MOST_JSON_BYTES = 256 << 20
"""Size of a JSON file, at most; with a vocabulary of 256,000 tokens it has 35 MB."""
_BROKEN = (
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What reading a file raises where something else stands than is expected."""


class Metadata:
    """The keys and values of one file, typed on the way out.

    Each getter returns ``default`` where the key is absent or null, and raises CorruptModelError
    where it is absent without a default, or of another kind. It has a method for each kind of value
    that the formats have, which is more than a dozen.
    """

    def __init__(self, origin: Path, values: Mapping[str, object]) -> None:
        self.origin = origin
        self._values = {key: value for key, value in values.items() if value is not None}
        self._nulls = values.keys() - self._values.keys()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def is_null(self, key: str) -> bool:
        """Whether the key is there, and null."""
        return key in self._nulls

    def integer(self, key: str, default: int | None = None, *, minimum: int = 1) -> int:
        """A whole number of at least ``minimum``."""
        value = self._get(key, default)
        ok = isinstance(value, int) and not isinstance(value, bool) and value >= minimum
        return cast("int", self._checked(key, value, f"an integer of at least {minimum}", ok=ok))

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number over 0."""
        value = self._get(key, default)
        ok = (
            isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LARGEST
        )
        return float(cast("float", self._checked(key, value, "a finite number over 0", ok=ok)))

    def flag(self, key: str, default: bool | None = None) -> bool:  # noqa: FBT001
        """True or False."""
        value = self._get(key, default)
        return cast("bool", self._checked(key, value, "a boolean", ok=isinstance(value, bool)))

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._get(key, default)
        return cast("str", self._checked(key, value, "a string", ok=isinstance(value, str)))

    def plain(self, key: str, default: object) -> object:
        """The value as it is, whatever its kind."""
        return self._values.get(key, default)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        return self._list(key, str, "a list of strings")

    def numbers(self, key: str) -> list[float]:
        """A list of numbers."""
        return [float(value) for value in self._list(key, (int, float), "a list of numbers")]

    def integers(self, key: str) -> list[int]:
        """A list of integers."""
        return self._list(key, int, "a list of integers")

    def integer_or_integers(self, key: str, default: int) -> list[int]:
        """A list of integers, where one may stand without brackets."""
        if isinstance(self._values.get(key), list):
            return self.integers(key)
        return [self.integer(key, default, minimum=0)]

    def text_or_texts(self, key: str) -> str | tuple[str, ...]:
        """A string, or a list of them; an empty list where the key is absent."""
        if isinstance(self._values.get(key), str):
            return self.text(key)
        return tuple(self.texts(key)) if key in self else ()

    def mapping(self, key: str) -> Mapping[str, object]:
        """A table of its own; empty where the key is absent."""
        value = self._get(key, {})
        checked = self._checked(key, value, "an object", ok=isinstance(value, dict))
        return cast("Mapping[str, object]", checked)

    def check_known(
        self,
        known: AbstractSet[str],
        fixed: Mapping[str, object],
        *,
        prefixes: tuple[str, ...] = ("",),
    ) -> None:
        """Refuse each key that begins with a prefix and is neither known nor as fixed.

        Raises:
            UnsupportedModelError: naming the key and its value.
        """
        for key, value in self._values.items():
            if key.startswith(prefixes) and key not in known | fixed.keys():
                raise self._unsupported(key, value, "midfill does not implement this key")
        self.check_fixed({key: fixed[key] for key in fixed.keys() - known})

    def check_fixed(self, fixed: Mapping[str, object]) -> None:
        """Refuse keys that are there with another value.

        Raises:
            UnsupportedModelError: naming the key and its value.
        """
        for key, value in self._values.items():
            if key in fixed and value != fixed[key]:
                raise self._unsupported(key, value, f"midfill implements {fixed[key]!r} only")

    def check_choice(
        self,
        key: str,
        value: str | int,
        choices: AbstractSet[str] | AbstractSet[int],
        advice: str = "",
    ) -> None:
        """Refuse a value that is not one of the implemented ones.

        Raises:
            UnsupportedModelError: naming the key, its value and the choices.
        """
        if value not in choices:
            known = ", ".join(sorted(map(str, choices)))
            raise self._unsupported(key, value, f"midfill implements {known}{advice}")

    def _unsupported(self, key: str, value: object, why: str) -> UnsupportedModelError:
        return UnsupportedModelError(f"{self.origin}: {key} is {reprlib.repr(value)}; {why}")

    def _get(self, key: str, default: object) -> object:
        value = self._values.get(key, default)
        if value is None:
            raise CorruptModelError(f"{self.origin}: {key} is missing")
        return value

    def _checked(self, key: str, value: object, allowed: str, *, ok: bool) -> object:
        if not ok:
            raise CorruptModelError(
                f"{self.origin}: {key} is {reprlib.repr(value)}; it must be {allowed}"
            )
        return value

    def _list(self, key: str, kind: type[T] | tuple[type[T], ...], allowed: str) -> list[T]:
        value = self._get(key, None)
        ok = isinstance(value, list) and all(isinstance(item, kind) for item in value)
        return cast("list[T]", self._checked(key, value, allowed, ok=ok))


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """A block in which something else than is expected in a JSON file makes it corrupt.

    Raises:
        CorruptModelError: naming the file.
    """
    try:
        yield
    except _BROKEN as error:
        raise CorruptModelError(
            f"{file} is not a whole {file.name} ({error!r}); get the file again"
        ) from error


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CorruptModelError: there is no such file, or something else in it.
    """
    require_plain_file(file)
    if file.stat().st_size > MOST_JSON_BYTES:
        raise CorruptModelError(f"{file} has more than {MOST_JSON_BYTES} bytes; get it again")
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CorruptModelError(f"{file} is not JSON: {error}") from error
    except RecursionError as error:
        raise CorruptModelError(f"{file} is nested too deeply for JSON of a model") from error
    if not isinstance(value, dict):
        raise CorruptModelError(f"{file} holds {reprlib.repr(value)}; it must be an object")
    return value


def require_plain_file(file: Path) -> None:
    """Refuse what has no content of its own: reading a pipe or a device would never end.

    Raises:
        CorruptModelError: it is missing, or something else.
    """
    if not file.exists():
        raise CorruptModelError(f"{file} is missing; get the whole folder again")
    if not file.is_file():
        raise CorruptModelError(f"{file} is no plain file; name one that is")


def check_heads(origin: Path, architecture: LlamaArchitecture) -> None:
    """Refuse head counts that grouped-query attention and rotary pairs cannot have.

    Raises:
        CorruptModelError: naming the numbers.
    """
    a = architecture
    if a.num_attention_heads % a.num_key_value_heads:
        raise CorruptModelError(
            f"{origin}: {a.num_attention_heads} query heads cannot share "
            f"{a.num_key_value_heads} key/value heads; the one must be a multiple of the other"
        )
    if a.head_dim < 2 or a.head_dim % 2:
        raise CorruptModelError(
            f"{origin}: heads are {a.head_dim} wide; rotary embedding needs an even width"
        )


def check_rope(origin: Path, architecture: LlamaArchitecture) -> None:
    """Refuse numbers that yarn has no frequencies for.

    Raises:
        CorruptModelError: naming them.
    """
    base, scaling = architecture.rope_theta, architecture.rope_scaling
    if scaling is None or scaling.kind != "yarn":
        return
    fastest = max(scaling.beta_fast, scaling.beta_slow)
    if base <= 1 or fastest > scaling.original_context_length:
        raise CorruptModelError(
            f"{origin}: rope_theta is {base}, beta_fast or beta_slow {fastest}; yarn needs a base"
            f" over 1, and betas up to the original context of {scaling.original_context_length}"
        )


def check_ids(origin: Path, tokenizer: TokenizerData, vocab_size: int) -> None:
    """Refuse ids of begin and end that the embedding has no row for.

    Raises:
        CorruptModelError: naming the id.
    """
    ids = {*tokenizer.eos_ids, *([] if tokenizer.bos_id is None else [tokenizer.bos_id])}
    beyond = sorted(token_id for token_id in ids if not 0 <= token_id < vocab_size)
    if beyond:
        raise CorruptModelError(
            f"{origin}: bos_token_id or eos_token_id is {beyond[0]}; ids end at {vocab_size - 1}"
        )


def check_tensors(
    origin: Path, architecture: LlamaArchitecture, found: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse a file that holds other tensors than its architecture has.

    Args:
        origin: The file, for messages.
        architecture: What the tensors must fit.
        found: The shape of each tensor by name.

    Raises:
        CorruptModelError: tensors are missing, left over or misshapen.
    """
    layers = architecture.num_hidden_layers
    if layers > max(MOST_LAYERS, len(found)):  # before a table of so many is made
        raise CorruptModelError(
            f"{origin} says that it has {layers} layers, but has only {len(found)} tensors"
        )
    check_shapes(origin, expected_shapes(architecture), found)


def check_shapes(
    origin: Path,
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    advice: str = "",
) -> None:
    """Refuse a file that holds other tensors than the expected ones.

    Args:
        origin: The file, for messages.
        expected: The shape of each tensor that must be there, by name.
        found: The shape of each tensor that is there.
        advice: The end of each message.

    Raises:
        CorruptModelError: tensors are missing, left over or misshapen.
    """
    _refuse_names(origin, "lacks the tensors", expected.keys() - found.keys(), advice)
    refuse_left_over(origin, found.keys() - expected.keys(), advice)
    for name, shape in expected.items():
        if found[name] != shape:
            raise CorruptModelError(
                f"{origin}: {name} has the shape {found[name]}, not {shape}{advice}"
            )


def refuse_left_over(origin: Path, names: AbstractSet[str], advice: str = "") -> None:
    """Refuse tensors that the architecture does not have, if there are any.

    Raises:
        CorruptModelError: naming them.
    """
    _refuse_names(origin, "has tensors beyond its architecture", names, advice)


def _refuse_names(origin: Path, what: str, names: AbstractSet[str], advice: str) -> None:
    if names:
        shown = ", ".join(sorted(names)[:NAMES_SHOWN])
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        raise CorruptModelError(f"{origin} {what}: {shown}{more}{advice}")
