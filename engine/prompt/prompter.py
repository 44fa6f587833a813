r"""Prompts: the text around a hole laid out as a model was trained to see it.

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

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from midfill.engine.api import Order, Priority, Scope
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.tokens import healing
from midfill.engine.tokens.incremental import IncrementalEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from midfill.engine.api import CompletionRequest, ContextPiece
    from midfill.engine.prompt.dialects import Dialect
    from midfill.engine.tokens.tokenizer import Tokenizer

SUFFIX_SHARE = 0.25
"""Of the token budget, for the suffix at most."""
CONTEXT_SHARE = 0.5
"""Of the token budget, for other files at most."""
CUT_STEPS = 8
"""A prefix that is too long is cut in steps of this fraction of its share, and at line starts, so
that the cut stays where it is while a user types."""
TYPED_AHEAD = 8
"""Tokens that somebody who types is expected to type next, at the same place: PSM would compute the
suffix anew for each. Without this, a warm PSM prompt stays cheaper from one keystroke to the next,
and SPM never gets warm."""
WARM_TOKENS = 4
"""So many new tokens of a prompt are no reason to take a shorter one."""
SHORTEST_BUDGET = 384
"""A prompt that would take too long to read is cut in halves of the budget down to this."""
_MARKER_ROOM = 8
"""Tokens set aside for markers and for what encoding a cut text may add."""
_LONG_TOKEN = 8
"""Characters; code has fewer in a token, so no more than this are encoded for each one wanted."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is given, and what it must spell first."""

    order: Order
    ids: list[int]
    held: bytes
    """Of the healed tail of the prefix."""
    healed_tokens: int
    context_pieces: int
    new_tokens: int = field(default=0, compare=False)
    """That are not cached."""
    is_short: bool = False
    """There is a longer one, which would have taken too long to read."""


@dataclass(frozen=True, slots=True)
class _Context:
    """Other files, in front of the markers or as comments, whichever the dialect has."""

    files: list[int]
    comments: str
    tokens: int
    pieces: int


class Prompter:
    """Builds the prompts of one model.

    Args:
        dialect: The model's.
        tokenizer: The model's.
        model: Its name, for messages.

    Raises:
        InfillingNotSupportedError: the vocabulary lacks a marker of the dialect.
    """

    def __init__(self, dialect: Dialect, tokenizer: Tokenizer, model: str) -> None:
        self.dialect = dialect
        self._tokenizer = tokenizer
        self._encode = IncrementalEncoder(tokenizer).encode
        self._model = model
        self._bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        self._start = self._bos or [min(tokenizer.eos_ids or tokenizer.special_ids)]
        self._markers = [self._marker(piece) for piece in dialect.markers or ()]
        self._file_markers = [self._marker(piece) for piece in dialect.file_markers or ()]

    def orders(self, asked: Order) -> tuple[Order, ...]:
        """The orders to choose from, the better one first; PSM if the model only continues.

        Raises:
            InfillingNotSupportedError: the model was not trained on the one asked for.
        """
        trained = self.dialect.orders
        if asked is Order.AUTO:
            return trained or (Order.PSM,)
        if asked in trained:
            return (asked,)
        raise InfillingNotSupportedError(
            f"model {self._model!r} speaks the dialect {self.dialect.name!r}, which has no order"
            f" {asked.value!r}; use order 'auto', or a model trained to infill, such as"
            " midfill-135m or Code Llama 7B and 13B"
        )

    def scope(self, request: CompletionRequest) -> Scope:
        """``AUTO`` resolved: without a suffix, or reading none, no model knows where to stop."""
        if request.scope is not Scope.AUTO:
            return request.scope
        if self.dialect.orders and request.suffix.strip():
            return Scope.MODEL
        return Scope.LINE if request.suffix.partition("\n")[0].strip() else Scope.BLOCK

    def build(
        self,
        request: CompletionRequest,
        budget: int,
        cached: Callable[[list[int]], int],
        patience: int | None = None,
    ) -> Prompt:
        """The prompt to complete from: as long as the budget allows, if it is read in time.

        A shorter one that is warm wins over one that has to wait, and among those that have to
        the longest one in time, or else the one with the least to read.

        Args:
            request: The hole.
            budget: Tokens at most.
            cached: Tells how many leading tokens of a prompt need no work.
            patience: How many that need work may be waited for; None: all.

        Raises:
            InfillingNotSupportedError: the model was not trained on the order asked for.
        """
        whole = self._cheapest(request, budget, cached)
        if patience is None or whole.new_tokens <= WARM_TOKENS:
            return whole
        prompts = [whole]
        while budget // 2 >= SHORTEST_BUDGET:
            budget //= 2
            prompts.append(self._cheapest(request, budget, cached))
        for limit in (WARM_TOKENS, patience):
            in_time = [prompt for prompt in prompts if prompt.new_tokens <= limit]
            if in_time:
                break
        else:
            in_time = [min(prompts, key=lambda prompt: prompt.new_tokens)]
        return replace(in_time[0], is_short=in_time[0].ids != whole.ids)

    def _cheapest(
        self, request: CompletionRequest, budget: int, cached: Callable[[list[int]], int]
    ) -> Prompt:
        """In the order that costs least."""
        orders = self.orders(request.order)
        room = budget - _MARKER_ROOM
        suffix = self._suffix(request.suffix, int(room * SUFFIX_SHARE))
        context = self._context(request, int(room * CONTEXT_SHARE))
        room -= len(suffix) + context.tokens
        text = context.comments + self._window(request.prefix, room)
        prefix = self._encode(text)
        held = b""
        kept = prefix
        if request.heal:
            healed = healing.split(self._tokenizer, text, prefix)
            kept, held = healed.ids, healed.held
        prompts = [(order, self._lay_out(order, context.files, kept, suffix)) for order in orders]
        later = {Order.PSM: len(suffix) * _typed_ahead(request), Order.SPM: 0}
        new = [len(ids) - cached(ids) for _, ids in prompts]
        best = min(range(len(prompts)), key=lambda place: new[place] + later[prompts[place][0]])
        order, ids = prompts[best]
        healed_tokens = len(prefix) - len(kept)
        return Prompt(order, ids, held, healed_tokens, context.pieces, new[best])

    def _lay_out(
        self, order: Order, files: list[int], prefix: list[int], suffix: list[int]
    ) -> list[int]:
        """One of the layouts in this module's docstring."""
        front = self._bos + files
        if not self._markers:
            return front + prefix or self._start
        before, behind, middle = self._markers
        if order is Order.PSM:
            return [*front, before, *prefix, behind, *suffix, middle]
        return [*front, before, behind, *suffix, middle, *prefix]

    def _marker(self, piece: str) -> int:
        marker = self._tokenizer.special_id(piece)
        if marker is not None:
            return marker
        raise InfillingNotSupportedError(
            f"model {self._model!r} has no token {piece!r}, so it cannot infill in the dialect"
            f" {self.dialect.name!r} (Code Llama 34B and the Python variants have none either); use"
            " the dialect 'left-to-right', or a model that has it, such as CodeLlama-7b-hf"
        )

    def _suffix(self, text: str, room: int) -> list[int]:
        """As many whole lines after the hole as fit, without SentencePiece's dummy space."""
        if not self._markers:
            return []
        shown = text[: _LONG_TOKEN * room]
        ids = self._tokenizer.encode(shown, leading_space=False)
        if len(ids) <= room and shown == text:
            return ids
        shown = self._text(ids[:room])
        whole_lines = shown[: shown.rfind("\n") + 1] or shown
        return self._tokenizer.encode(whole_lines, leading_space=False)[:room]

    def _window(self, text: str, room: int) -> str:
        """The end of the text before the hole, from a line start that moves in large steps."""
        text = _tail(text, _LONG_TOKEN * room)
        ids = self._encode(text)
        over = len(ids) - room
        if over <= 0:
            return text
        step = max(1, room // CUT_STEPS)
        dropped = -(-over // step) * step
        start = len(text) - len(self._text(ids[dropped:]))
        line = text.find("\n", start, start + len(self._text(ids[dropped : dropped + step]))) + 1
        return text[line or start :]

    def _context(self, request: CompletionRequest, room: int) -> _Context:
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
        return _Context(files, comments, len(files) + len(self._encode(comments)), len(texts))

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

    def _text(self, ids: list[int]) -> str:
        return b"".join(map(self._tokenizer.token_bytes, ids)).decode("utf-8", "ignore")


def _tail(text: str, characters: int) -> str:
    """So many characters of a text's end, up to twice as many so that they seldom start anew."""
    over = len(text) - 2 * characters
    return text[max(0, -(-over // characters)) * characters :]


def _typed_ahead(request: CompletionRequest) -> int:
    once = {Priority.INVOKED, Priority.COMMAND_LINE}
    return 0 if request.priority in once else TYPED_AHEAD
