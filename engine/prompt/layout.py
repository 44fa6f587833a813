r"""The parts of a prompt in the order and with the markers that a model was trained on.

Each model family is a row of ``DIALECTS``. Markers are ids put in here; user text never becomes
one. The layouts, where [X] is a marker's id and the rest is encoded text::

    PSM   [bos] files [prefix] comments prefix [suffix] suffix [middle]
    SPM   [bos] files [prefix][suffix] suffix [middle] comments prefix
    left-to-right   [bos] comments prefix; if all is empty, the token that ends a text

Other files stand in ``comments`` (``# Path: a.py``, then the file's lines as comments) or, for
dialects that have the markers, in ``files``, with the path of the hole's own file at the end::

    [repo_name]name\n [file_sep]path\ntext\n [file_sep]path\ntext\n [file_sep]path\n

Sources: Bavarian et al. 2022, section 3 and appendix D (SPM with joined markers); Code Llama's
``llama/generation.py``, ``infilling_prompt_tokens``; StarCoder 2 (Lozhkov et al. 2024, section 5.1)
for the file separators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import Order
from midfill.engine.errors import InfillingNotSupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from midfill.engine.api import CompletionRequest, ContextPiece
    from midfill.engine.prompt.dialects import Dialect
    from midfill.engine.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class FittedContext:
    """Other files that fit, in front of the markers or as comments, whichever the dialect has."""

    files: list[int]
    comments: str
    tokens: int
    pieces: int


class Layout:
    """Puts the parts of one model's prompts together.

    Args:
        dialect: The model's.
        tokenizer: The model's.
        encode: Gives a text's token ids.
        model: Its name, for messages.

    Raises:
        InfillingNotSupportedError: the vocabulary lacks a marker of the dialect.
    """

    def __init__(
        self,
        dialect: Dialect,
        tokenizer: Tokenizer,
        encode: Callable[[str], list[int]],
        model: str,
    ) -> None:
        self._tokenizer, self._encode = tokenizer, encode
        self._dialect, self._model = dialect.name, model
        self._bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        self._start = self._bos or [min(tokenizer.eos_ids or tokenizer.special_ids)]
        self._markers = [self._marker(piece) for piece in dialect.markers or ()]
        self._file_markers = [self._marker(piece) for piece in dialect.file_markers or ()]

    @property
    def infills(self) -> bool:
        """Whether there are markers, and so a suffix."""
        return bool(self._markers)

    def prompt_ids(
        self, order: Order, files: list[int], prefix: list[int], suffix: list[int]
    ) -> list[int]:
        """The prompt, in one of the layouts in this module's docstring."""
        front = self._bos + files
        if not self._markers:
            return front + prefix or self._start
        before, behind, middle = self._markers
        if order is Order.PSM:
            return [*front, before, *prefix, behind, *suffix, middle]
        return [*front, before, behind, *suffix, middle, *prefix]

    def context(self, request: CompletionRequest, room: int) -> FittedContext:
        """The last pieces that fit, in their order: what is most relevant stands last."""
        layout = self._as_file if self._file_markers else self._as_comments
        texts: list[str] = []
        tokens = len(self._files(request, []))
        for piece in reversed(request.context):
            text = layout(piece, request.line_comment)
            tokens += len(self._encode(text)) + 1
            if tokens > room:
                break
            texts.insert(0, text)
        files = self._files(request, texts) if texts else []
        comments = "" if files else "".join(texts)
        return FittedContext(files, comments, len(files) + len(self._encode(comments)), len(texts))

    def _files(self, request: CompletionRequest, texts: Iterable[str]) -> list[int]:
        if not self._file_markers:
            return []
        repo_name, file_sep = self._file_markers
        ids = [repo_name, *self._encode(f"{request.repo_name or ''}\n")]
        for text in (*texts, f"{request.path or ''}\n"):
            ids += [file_sep, *self._encode(text)]
        return ids

    def _as_file(self, piece: ContextPiece, _line_comment: str) -> str:
        return f"{piece.path}\n{piece.text.rstrip()}\n"

    def _as_comments(self, piece: ContextPiece, line_comment: str) -> str:
        lines = [f"Path: {piece.path}", *piece.text.rstrip().split("\n")]
        return "".join(f"{line_comment} {line}".rstrip() + "\n" for line in lines)

    def _marker(self, piece: str) -> int:
        marker = self._tokenizer.special_id(piece)
        if marker is not None:
            return marker
        raise InfillingNotSupportedError(
            f"model {self._model!r} has no token {piece!r}, so it cannot infill in the dialect"
            f" {self._dialect!r} (Code Llama 34B and the Python variants have none either); use"
            " the dialect 'left-to-right', or a model that has it, such as CodeLlama-7b-hf"
        )
