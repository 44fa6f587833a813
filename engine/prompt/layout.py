r"""The parts of a prompt in the order and with the markers that a model was trained on.

Each model family is a row of ``DIALECTS``. Markers are ids put in here; user text never becomes
one. The layouts, where [X] is a marker's id and the rest is encoded text::

    PSM   [bos] files [prefix] head prefix [suffix] suffix [middle]
    anchored   [bos] files [prefix] head prefix [suffix] suffix [middle] end of the prefix
    SPM   [bos] files [prefix][suffix] suffix [middle] head prefix
    left-to-right   [bos] head prefix; if all is empty, the token that ends a text

Other files stand in ``head`` as comments (``# Path: a.py``, then the file's lines) or as they are
(``#a.py``, the text, and ``#path`` of the hole's own file), or, with markers, in ``files``::

    [repo_name]name\n [file_sep]path\ntext\n [file_sep]path\ntext\n [file_sep]own path\n
    [repo_name]name [file_sep]path\ntext\n [file_sep]     and "own path\n" in the head
    path\ntext\n [file_separator]path\ntext\n [file_separator]own path\n

Sources: Bavarian et al. 2022, section 3 and appendix D (SPM with joined markers), and what stands
at the rows of ``DIALECTS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import Order
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.prompt.dialects import FileLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from midfill.engine.api import CompletionRequest, ContextPiece
    from midfill.engine.prompt.dialects import Dialect
    from midfill.engine.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class FittedContext:
    """Other files that fit, in front of the markers or at the head of the prefix."""

    files: list[int]
    head: str
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
        self._files = dialect.files

    @property
    def infills(self) -> bool:
        """Whether there are markers, and so a suffix."""
        return bool(self._markers)

    def prompt_ids(
        self,
        order: Order,
        files: list[int],
        prefix: list[int],
        suffix: list[int],
        begun: Sequence[int] = (),
    ) -> list[int]:
        """The prompt, in one of the layouts in this module's docstring.

        Args:
            order: Not ``AUTO``.
            files: Other files, with their markers.
            prefix: Begins with the head.
            suffix: The text behind the hole.
            begun: What the middle begins with, if it is anchored.
        """
        front = self._bos + files
        if not self._markers:
            return front + prefix or self._start
        before, behind, middle = self._markers
        if order is Order.SPM:
            return [*front, *before, *behind, *suffix, *middle, *prefix]
        return [*front, *before, *prefix, *behind, *suffix, *middle, *begun]

    def context(self, request: CompletionRequest, room: int) -> FittedContext:
        """The last pieces that fit, in their order: what is most relevant stands last."""
        texts: list[str] = []
        tokens = self._joined(request, texts).tokens
        for piece in reversed(request.context):
            text = self._text(piece, request.line_comment)
            tokens += len(self._encode(text)) + 1
            if tokens > room:
                break
            texts.insert(0, text)
        return self._joined(request, texts) if texts else FittedContext([], "", 0, 0)

    def _joined(self, request: CompletionRequest, texts: list[str]) -> FittedContext:
        own_path, files, head = f"{request.path or ''}\n", list[int](), ""
        match self._files:
            case FileLayout.COMMENTS:
                head = "".join(texts)
            case FileLayout.HEADINGS:
                head = "".join(texts) + f"#{own_path}"
            case FileLayout.MARKED:
                files = self._marked(f"{request.repo_name or ''}\n", [*texts, own_path])
            case FileLayout.OWN_PATH_INSIDE:
                files = self._marked(request.repo_name or "", [*texts, ""])
                head = own_path
        return FittedContext(files, head, len(files) + len(self._encode(head)), len(texts))

    def _marked(self, repo: str, texts: Iterable[str]) -> list[int]:
        """Each text behind a separator, but the first where no repository is named before it."""
        repo_name, separator = self._file_markers
        ids = [*repo_name, *self._encode(repo)] if repo_name else []
        for text in texts:
            ids += [*(separator if ids else ()), *self._encode(text)]
        return ids

    def _text(self, piece: ContextPiece, line_comment: str) -> str:
        if self._files is not FileLayout.COMMENTS:
            heading = "#" if self._files is FileLayout.HEADINGS else ""
            return f"{heading}{piece.path}\n{piece.text.rstrip()}\n"
        lines = [f"Path: {piece.path}", *piece.text.rstrip().split("\n")]
        return "".join(f"{line_comment} {line}".rstrip() + "\n" for line in lines)

    def _marker(self, piece: str) -> list[int]:
        """Its id; none for a marker that the family does without."""
        marker = self._tokenizer.special_id(piece) if piece else None
        if marker is not None or not piece:
            return [] if marker is None else [marker]
        raise InfillingNotSupportedError(
            f"model {self._model!r} has no token {piece!r}, so it cannot infill in the dialect"
            f" {self._dialect!r} (Code Llama 34B and the Python variants have none either); use"
            " the dialect 'left-to-right', or a model that has it, such as CodeLlama-7b-hf"
        )
