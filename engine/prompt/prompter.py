"""The prompt for a hole: what of the texts around it fits, in the order that costs least.

How the parts are laid out is in ``layout``; what a family of models wants, in ``dialects``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from midfill.engine.api import Order, Priority, Scope
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.prompt.layout import Layout
from midfill.engine.tokens import healing
from midfill.engine.tokens.incremental import IncrementalEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import CompletionRequest
    from midfill.engine.prompt.dialects import Dialect
    from midfill.engine.tokens.tokenizer import Tokenizer

SUFFIX_SHARE = 0.25
"""Share of the token budget for the suffix, at most."""
CONTEXT_SHARE = 0.5
"""Share of the token budget for other files, at most."""
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
    """The bytes of the healed tail of the prefix."""
    healed_tokens: int
    context_pieces: int
    new_tokens: int = field(default=0, compare=False)
    """That are not cached."""
    is_short: bool = False
    """There is a longer one, which would have taken too long to read."""


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
        self._layout = Layout(dialect, tokenizer, self._encode, model)

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
        """The prompt in the order that costs least."""
        orders = self.orders(request.order)
        room = budget - _MARKER_ROOM
        suffix = self._suffix(request.suffix, int(room * SUFFIX_SHARE))
        context = self._layout.context(request, int(room * CONTEXT_SHARE))
        room -= len(suffix) + context.tokens
        text = context.comments + self._window(request.prefix, room)
        prefix = self._encode(text)
        held = b""
        kept = prefix
        if request.heal:
            healed = healing.split(self._tokenizer, text, prefix)
            kept, held = healed.ids, healed.held
        prompts = [
            (order, self._layout.prompt_ids(order, context.files, kept, suffix)) for order in orders
        ]
        later = {Order.PSM: len(suffix) * _typed_ahead(request), Order.SPM: 0}
        new = [len(ids) - cached(ids) for _, ids in prompts]
        best = min(range(len(prompts)), key=lambda place: new[place] + later[prompts[place][0]])
        order, ids = prompts[best]
        healed_tokens = len(prefix) - len(kept)
        return Prompt(order, ids, held, healed_tokens, context.pieces, new[best])

    def _suffix(self, text: str, room: int) -> list[int]:
        """As many whole lines after the hole as fit, without SentencePiece's dummy space."""
        if not self._layout.infills:
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

    def _text(self, ids: list[int]) -> str:
        return b"".join(map(self._tokenizer.token_bytes, ids)).decode("utf-8", "ignore")


def _tail(text: str, characters: int) -> str:
    """So many characters of a text's end, up to twice as many so that they seldom start anew."""
    over = len(text) - 2 * characters
    return text[max(0, -(-over // characters)) * characters :]


def _typed_ahead(request: CompletionRequest) -> int:
    once = {Priority.INVOKED, Priority.COMMAND_LINE}
    return 0 if request.priority in once else TYPED_AHEAD
