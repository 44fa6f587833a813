"""The prompt for a hole: what of the texts around it fits, in the order that costs least.

How the parts are laid out is in ``layout``; what a family of models wants, in ``dialects``; where
an anchored middle may begin, in ``anchors``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from midfill.engine.api import Order, Priority, Scope
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.prompt.anchors import OLD_ANCHOR, anchors
from midfill.engine.prompt.layout import Layout
from midfill.engine.prompt.windows import Before, Split, Windows
from midfill.engine.tokens.incremental import IncrementalEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from midfill.engine.api import CompletionRequest
    from midfill.engine.prompt.dialects import Dialect
    from midfill.engine.prompt.layout import FittedContext
    from midfill.engine.tokens.tokenizer import Tokenizer

SUFFIX_SHARE = 0.25
"""Share of the token budget for the suffix, at most."""
CONTEXT_SHARE = 0.5
"""Share of the token budget for other files, at most."""
TYPED_AHEAD = 8
"""Tokens that somebody who types is expected to type next, at the same place: PSM would compute the
suffix anew for each. Without this, a warm PSM prompt stays cheaper from one keystroke to the next,
and SPM never gets warm."""
WARM_TOKENS = 4
"""So many new tokens of a prompt are no reason to take a shorter one."""
BEGUN_TOKENS = 128
"""Tokens with which an anchored middle may begin."""
BEGUN_SHARE = 0.25
"""Share of the prefix's tokens for them, at most."""
SHORTEST_BUDGET = 384
"""A prompt that would take too long to read is cut in halves of the budget down to this."""
_MARKER_ROOM = 8
"""Tokens set aside for markers and for what encoding a cut text may add."""


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
    is_stale: bool = False
    """Its middle began long ago; one that begins nearer to the cursor would have to be read."""


class _Parts(NamedTuple):
    """What stands in a prompt, but for the text before the hole."""

    suffix: list[int]
    context: FittedContext
    room: int
    """Tokens for the prefix."""
    begun: int
    """Tokens for what a middle may begin with; 0: it may not."""


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
        self.places: Callable[[str], Iterator[int]] = anchors
        """Where an anchored middle may begin; measurements choose others."""
        self._model = model
        encode = IncrementalEncoder(tokenizer).encode
        self._layout = Layout(dialect, tokenizer, encode, model)
        self._windows = Windows(tokenizer, encode)

    def orders(self, asked: Order) -> tuple[Order, ...]:
        """The orders to choose from, the better one first; PSM if the model only continues.

        Raises:
            InfillingNotSupportedError: the model was not trained on the one asked for.
        """
        trained = self.dialect.orders
        if asked is Order.AUTO:
            appends = (Order.ANCHORED,) if trained == (Order.PSM,) else ()
            return (*trained, *appends) or (Order.PSM,)
        if asked in trained or (asked is Order.ANCHORED and Order.PSM in trained):
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
        room = budget - _MARKER_ROOM
        suffix = list[int]()
        if self._layout.infills:
            suffix = self._windows.suffix(request.suffix, int(room * SUFFIX_SHARE))
        context = self._layout.context(request, int(room * CONTEXT_SHARE))
        room -= len(suffix) + context.tokens
        orders = self.orders(request.order)
        is_anchored = bool(suffix) and Order.ANCHORED in orders
        begun = min(BEGUN_TOKENS, int(room * BEGUN_SHARE)) if is_anchored else 0
        parts = _Parts(suffix, context, room - begun, begun)
        later = {Order.PSM: len(suffix) * _typed_ahead(request), Order.ANCHORED: 0}
        best, least = None, 0
        for prompt in self._prompts(orders, request, parts):
            if prompt.order is Order.ANCHORED:  # it costs room, and an older one fits less well
                later[Order.ANCHORED] += WARM_TOKENS
            new = len(prompt.ids) - cached(prompt.ids)
            cost = new + prompt.healed_tokens + later.get(prompt.order, 0)
            if best is None or cost < least:
                best, least = replace(prompt, new_tokens=new), cost
            if prompt.order is Order.ANCHORED and new <= WARM_TOKENS:
                break  # an older one is no cheaper
        assert best is not None, "each model has an order"
        return best

    def _prompts(
        self, orders: tuple[Order, ...], request: CompletionRequest, parts: _Parts
    ) -> Iterator[Prompt]:
        """One in each order, the better one first, and those that are anchored, the newest first.

        Where no middle may have begun yet, the one order asked for is PSM in effect.
        """
        anchored = self._anchored(request, parts) if parts.begun else iter(())
        first = next(anchored, None)
        text = Before(parts.context.head, request.prefix, heal=request.heal)
        whole = self._windows.whole(text, parts.room)
        for order in orders:
            if order is not Order.ANCHORED:
                yield self._prompt(order, parts, whole)
        if first:
            yield first
            yield from anchored
        elif orders == (Order.ANCHORED,):
            yield self._prompt(Order.PSM, parts, whole)

    def _anchored(self, request: CompletionRequest, parts: _Parts) -> Iterator[Prompt]:
        """Prompts whose middles have begun, at the newest place first."""
        is_newest = True
        text = Before(parts.context.head, request.prefix, heal=request.heal)
        for place in self.places(request.prefix):
            split = self._windows.split(text, place, parts.room)
            if len(split.begun) + split.healed_tokens > parts.begun:
                return
            is_old = len(request.prefix) - place > OLD_ANCHOR and not is_newest
            is_stale = is_old and request.priority is Priority.TYPING
            yield replace(self._prompt(Order.ANCHORED, parts, split), is_stale=is_stale)
            if request.priority is Priority.PREWARM:
                return  # it is to be ready for what will be typed there
            is_newest = False

    def _prompt(self, order: Order, parts: _Parts, split: Split) -> Prompt:
        context = parts.context
        ids = self._layout.prompt_ids(order, context.files, split.prefix, parts.suffix, split.begun)
        return Prompt(order, ids, split.held, split.healed_tokens, context.pieces)


def _typed_ahead(request: CompletionRequest) -> int:
    once = {Priority.INVOKED, Priority.COMMAND_LINE}
    return 0 if request.priority in once else TYPED_AHEAD
