"""Training examples: a hole in a document, laid out exactly as the engine will ask about it.

The prompt of an example comes from ``engine.prompt.prompter.Prompter`` itself, so the layout that
is trained is the one that is used, token healing included. In SPM prefix and middle are encoded
together (Code Llama, section 2.3), which is what healing makes of them; in PSM the middle starts
either where the cursor is, or with the bytes that healing holds back, half of the time each.

An example is a row of token ids and the place where its middle starts. A part of the documents is
read from left to right instead, as in the papers (infilling rate 0.9).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from midfill.engine.api import CompletionRequest, ContextPiece, Order
from midfill.engine.prompt.dialects import DIALECTS
from midfill.engine.prompt.prompter import Prompter
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.lsp_server.context.excerpts import excerpt
from midfill.lsp_server.context.name_uses import name_uses
from midfill.lsp_server.text.languages import defined_name, language, language_id_of
from midfill.recipes.training.holes import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from random import Random

    from midfill.engine.tokens.tokenizer import Tokenizer
    from midfill.recipes.training.holes import TrainingHole
    from midfill.weights.architecture import BytePairVocabulary

FIM_TOKENS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_end>")
"""Control tokens put behind the base's vocabulary, in this order."""
END_OF_TEXT = "<|endoftext|>"

_NAME = re.compile(r"[A-Za-z_]\w{3,}")
_HOLES = 6
"""Holes tried until one uses a name of another file, for an example with context."""
_FILES = 12
"""Files searched for a use of a name."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the corpus."""

    repo: str
    path: str
    text: str
    held_out: bool = False

    @property
    def language(self) -> str:
        """Its language's id in LSP, by the file's name."""
        return language_id_of(self.path)


@dataclass(frozen=True, slots=True)
class ExampleConfig:
    """What examples look like. Lengths are in characters, drawn with an even logarithm."""

    infill_rate: float = 0.9
    """The share of examples with a hole; the rest is read through (Code Llama, section 2.3)."""
    spm_share: float = 0.5
    """The share of holes laid out suffix first; the others are PSM."""
    context_share: float = 0.15
    """The share of holes that show other files of the repository."""
    no_suffix_share: float = 0.1
    """The share of holes with nothing behind them."""
    prefix: tuple[int, int] = (60, 1600)
    suffix: tuple[int, int] = (24, 800)
    left_to_right: tuple[int, int] = (300, 1200)
    most_pieces: int = 2
    piece_lines: tuple[int, int] = (4, 16)
    use_rate: float = 0.0
    """How often a third file's use is shown, too, of a name that a hole takes from another file."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of tokens."""

    ids: list[int]
    middle: int
    """The index at which the middle starts; the length of the row, if it has none."""
    kind: str
    """The kind of the hole with its order, or left-to-right."""


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a corpus file, in its order (see ``recipes.corpus.make``)."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield Document(row["repo"], row["path"], row["text"], row.get("held_out", False))


def with_fim_tokens(base: BytePairVocabulary) -> BytePairVocabulary:
    """A base's vocabulary with FIM_TOKENS behind it, as control tokens."""
    first = len(base.tokens)
    added = range(first, first + len(FIM_TOKENS))
    return replace(base, tokens=base.tokens + FIM_TOKENS, special=base.special | set(added))


class Examples:
    """Makes examples from documents.

    Args:
        vocabulary: With FIM_TOKENS.
        documents: All that may be shown as context.
        config: What they look like.
    """

    def __init__(
        self, vocabulary: BytePairVocabulary, documents: Iterable[Document], config: ExampleConfig
    ) -> None:
        self.tokenizer: Tokenizer = open_tokenizer(vocabulary)
        self._prompter = Prompter(DIALECTS["midfill"], self.tokenizer, "training")
        self._end = _special(self.tokenizer, FIM_TOKENS[-1])
        self._end_of_text = _special(self.tokenizer, END_OF_TEXT)
        self._repo_name, self._file_sep = (
            _special(self.tokenizer, name) for name in DIALECTS["midfill"].file_markers or ()
        )
        self._config = config
        self._names = _Names(documents)

    def make(self, document: Document, rng: Random) -> Example | None:
        """One example of a document; None if no hole was found in it."""
        if rng.random() >= self._config.infill_rate:
            return self._read_through(document, rng)
        source = SourceText(document.text, document.language)
        pieces: tuple[ContextPiece, ...] = ()
        hole = source.hole(rng)
        if hole is not None and rng.random() < self._config.context_share:
            hole, pieces = self._with_context(document, source, hole, rng)
        return None if hole is None else self._infill(document, source, hole, pieces, rng)

    def make_long(
        self, documents: Sequence[Document], row_tokens: int, rng: Random
    ) -> Example | None:
        """Files of one repository, each after its path, and a hole in the last: so many tokens.

        Returns:
            None if the documents are too short, or no hole was found.
        """
        files = [self._repo_name, *self.tokenizer.encode(f"{documents[0].repo}\n")]
        for document in documents:
            files.append(self._file_sep)
            if len(files) >= row_tokens:
                return self._ended(files, document, row_tokens, rng)
            files += self.tokenizer.encode(f"{document.path}\n{document.text.rstrip()}\n")
        return None

    def _ended(
        self, files: Sequence[int], document: Document, row_tokens: int, rng: Random
    ) -> Example | None:
        """The tokens of files, cut so that a document with a hole goes behind them."""
        source = SourceText(document.text, document.language)
        hole = source.hole(rng)
        if hole is None:
            return None
        last = self._infill(document, source, hole, (), rng)
        path = [self._file_sep, *self.tokenizer.encode(f"{document.path}\n")]
        room = row_tokens - len(path) - len(last.ids)
        ids = [*files[:room], *path, *last.ids]
        return Example(ids, room + len(path) + last.middle, "long")

    def _read_through(self, document: Document, rng: Random) -> Example:
        length = _drawn(self._config.left_to_right, rng)
        text = document.text
        start = rng.randrange(max(1, len(text) - length // 2))
        start = text.rfind("\n", 0, start) + 1
        ids = self.tokenizer.encode(text[start : start + length])
        if start + length >= len(text):
            ids.append(self._end_of_text)
        return Example(ids, len(ids), "left-to-right")

    def _with_context(
        self, document: Document, source: SourceText, hole: TrainingHole, rng: Random
    ) -> tuple[TrainingHole, tuple[ContextPiece, ...]]:
        """A hole that uses names of other files, if one can be found, and where they come from."""
        for _ in range(_HOLES):
            used = self._names.defined_elsewhere(source.text[hole.start : hole.end], document)
            if used:
                return hole, self._pieces(document, source, hole, used, rng)
            hole = source.hole(rng) or hole
        return hole, self._pieces(document, source, hole, {}, rng)

    def _pieces(
        self,
        document: Document,
        source: SourceText,
        hole: TrainingHole,
        used: dict[str, Document],
        rng: Random,
    ) -> tuple[ContextPiece, ...]:
        """Excerpts as the server makes them, the most relevant last."""
        around = source.text[max(0, hole.start - 400) : hole.end + 200]
        files: dict[str, _Shown] = {}
        for name, other in used.items():
            files.setdefault(other.path, _Shown(other)).defined.add(name)
        for name in used if self._config.use_rate else ():
            user = self._names.user(name, document, rng)
            if user is not None and rng.random() < self._config.use_rate:
                files.setdefault(user.path, _Shown(user)).used.append(name)
        for name, other in self._names.defined_elsewhere(around, document).items():
            files.setdefault(other.path, _Shown(other)).defined.add(name)
        chosen = list(files.values())[: rng.randint(1, self._config.most_pieces)][::-1]
        pieces = []
        for shown in chosen:
            row = language(shown.document.language)
            lines = rng.randint(*self._config.piece_lines)
            wanted = sorted(shown.defined)
            text = excerpt(shown.document.text, row, lines, (), wanted, shown.used).text
            if text.strip():
                pieces.append(ContextPiece(shown.document.path, text))
        return tuple(pieces)

    def _infill(
        self,
        document: Document,
        source: SourceText,
        hole: TrainingHole,
        pieces: tuple[ContextPiece, ...],
        rng: Random,
    ) -> Example:
        spm = rng.random() < self._config.spm_share
        prefix, suffix = self._window(source, hole, rng)
        request = CompletionRequest(
            prefix,
            suffix,
            pieces,
            repo_name=document.repo,
            path=document.path,
            order=Order.SPM if spm else Order.PSM,
            heal=spm or rng.random() < 0.5,
            max_prompt_tokens=4096,
        )
        prompt = self._prompter.build(request, request.max_prompt_tokens, lambda _: 0)
        middle = prompt.held + source.text[hole.start : hole.end].encode()
        if spm:
            kept = len(self.tokenizer.encode(prefix)) - prompt.healed_tokens
            target = self.tokenizer.encode(prefix + source.text[hole.start : hole.end])[kept:]
        else:
            target = self.tokenizer.encode(middle.decode())
        ids = [*prompt.ids, *target, self._end]
        return Example(ids, len(prompt.ids), f"{hole.kind}, {request.order.value}")

    def _window(self, source: SourceText, hole: TrainingHole, rng: Random) -> tuple[str, str]:
        """Whole lines before the hole, from a definition if one is near, and behind it."""
        text = source.text
        start = source.line_at(max(0, hole.start - _drawn(self._config.prefix, rng)))
        definition = re.compile(r"^(?:@|async |def |class |from |import |export |func )", re.M)
        if rng.random() < 0.5 and (found := definition.search(text, start, hole.start)):
            start = found.start()
        if rng.random() < self._config.no_suffix_share:
            return text[start : hole.start], ""
        end = source.line_end(min(len(text), hole.end + _drawn(self._config.suffix, rng)))
        return text[start : hole.start], text[hole.end : end + 1]


@dataclass(slots=True)
class _Shown:
    """A file of the context, and the names that it is shown for."""

    document: Document
    defined: set[str] = field(default_factory=set)
    used: list[str] = field(default_factory=list)


class _Names:
    """The files of a repository that define a name, and others that use it."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._definers: dict[str, dict[str, Document]] = defaultdict(dict)
        self._files: dict[tuple[str, str], list[Document]] = defaultdict(list)
        for document in documents:
            self._files[document.repo, document.language].append(document)
            names = self._definers[document.repo]
            row = language(document.language)
            for line in document.text.split("\n"):
                name = defined_name(row, line)
                if name and len(name) > 3:
                    names.setdefault(name, document)

    def defined_elsewhere(self, text: str, document: Document) -> dict[str, Document]:
        """Names in a text that another file of the document's repository and language defines."""
        definers = self._definers[document.repo]
        found = {name: definers[name] for name in _NAME.findall(text) if name in definers}
        return {
            name: other
            for name, other in found.items()
            if other.path != document.path and other.language == document.language
        }

    def user(self, name: str, document: Document, rng: Random) -> Document | None:
        """Another file that uses a name, among some of the same repository and language."""
        files = self._files[document.repo, document.language]
        for other in rng.sample(files, min(_FILES, len(files))):
            is_other = other.path != document.path and name in other.text
            if is_other and any(True for _ in name_uses(other.text.split("\n"), (name,))):
                return other
        return None


def _drawn(between: tuple[int, int], rng: Random) -> int:
    least, most = between
    return int(least * (most / least) ** rng.random())


def _special(tokenizer: Tokenizer, name: str) -> int:
    token_id = tokenizer.special_id(name)
    assert token_id is not None, f"the vocabulary lacks {name}"
    return token_id
