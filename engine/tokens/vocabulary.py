"""The part of the Tokenizer protocol that is a table: bytes by id, special ids by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which UTF-8 cannot carry."""
    return _SURROGATE.sub("\ufffd", text)


class Vocabulary:
    """What a tokenizer knows without reading text.

    Args:
        token_bytes: By id; empty for special tokens.
        special: The pieces of control tokens and infilling markers, by id.
        bos_id: As in the Tokenizer protocol.
        eos_ids: As in the Tokenizer protocol.
    """

    def __init__(
        self,
        token_bytes: Sequence[bytes],
        special: Mapping[int, str],
        bos_id: int | None,
        eos_ids: frozenset[int],
    ) -> None:
        self._token_bytes = tuple(token_bytes)
        self._special_ids = frozenset(special)
        self._special_by_name = {name: token_id for token_id, name in special.items()}
        self._bos_id = bos_id
        self._eos_ids = eos_ids

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to this, exclusive."""
        return len(self._token_bytes)

    @property
    def bos_id(self) -> int | None:
        """Put in front of every prompt, or None where the model was trained without."""
        return self._bos_id

    @property
    def eos_ids(self) -> frozenset[int]:
        """Any of these ends a text."""
        return self._eos_ids

    @property
    def special_ids(self) -> frozenset[int]:
        """Control tokens and infilling markers."""
        return self._special_ids

    @property
    def special_names(self) -> Collection[str]:
        """Their pieces."""
        return self._special_by_name.keys()

    def special_id(self, name: str) -> int | None:
        """The id of a special token by its exact piece, or None."""
        return self._special_by_name.get(name)

    def token_bytes(self, token_id: int) -> bytes:
        """The exact bytes that this token adds to a text; empty for special tokens."""
        return self._token_bytes[token_id]
