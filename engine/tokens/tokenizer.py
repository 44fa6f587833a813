"""Text to token ids and back, byte for byte.

Invariant: for text without special tokens, ``b"".join(token_bytes(i) for i in encode(text))`` is
the text in UTF-8 (for SentencePiece with ``leading_space=False``; with it, one space is in front).
The one exception: bytes that a byte-level BPE vocabulary has no token for are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from midfill.weights.architecture import SentencePieceModel

if TYPE_CHECKING:
    from collections.abc import Collection

    from midfill.weights.architecture import TokenizerData


class Tokenizer(Protocol):
    """What the engine needs of a vocabulary; ids are ints, never framework tensors."""

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to this, exclusive; the model's may be larger, by padding."""
        ...

    @property
    def bos_id(self) -> int | None:
        """Put in front of every prompt, or None where the model was trained without."""
        ...

    @property
    def eos_ids(self) -> frozenset[int]:
        """Any of these ends a text."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Control tokens and infilling markers: ``encode`` never returns one, no text shows one."""
        ...

    @property
    def special_names(self) -> Collection[str]:
        """The pieces of ``special_ids``."""
        ...

    def encode(self, text: str, *, leading_space: bool = True) -> list[int]:
        """The ids of user text, in which the names of special tokens are plain text.

        Args:
            text: Any string; lone surrogates are encoded as U+FFFD.
            leading_space: Whether SentencePiece may put its dummy space in front, as it does for a
                text's start; byte-level BPE has none and ignores it.
        """
        ...

    def special_id(self, name: str) -> int | None:
        """The id of a control token by its exact piece (``<fim_prefix>``, ``▁<PRE>``), or None."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The exact bytes that this token adds to a text; empty for special tokens."""
        ...

    def stable_length(self, text: str, ids: list[int]) -> int:
        """How many leading ids of ``ids == encode(text)`` no further text could change.

        Whatever is appended to ``text``, its encoding starts with these ids.
        """
        ...


def open_tokenizer(data: TokenizerData) -> Tokenizer:
    """The tokenizer that a checkpoint describes.

    Raises:
        UnsupportedModelError: a kind or setting that is not implemented, or not exact on bytes.
        CorruptModelError: a file that cannot be read.
    """
    if isinstance(data, SentencePieceModel):
        from midfill.engine.tokens.sentencepiece import SentencePieceTokenizer

        return SentencePieceTokenizer(data)
    from midfill.engine.tokens.bpe import ByteLevelBpe

    return ByteLevelBpe(data)
