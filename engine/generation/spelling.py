"""Which tokens begin the held bytes: the likeliest spelling of all, not the likeliest next token.

The likeliest token may be another word. Where " divisor" is held, " d" is a likelier token than
" div": it is a name of its own. But nothing that a tokenizer wrote has " d" before "ivisor", and a
model that is made to read it goes on as badly ("n % ddivisor"). So each way to begin is weighed by

    P(its tokens) * (sum of P(t) over all tokens t that finish the held bytes behind them)

and the best one is found best first: the probability of some tokens bounds that of whatever they
begin. The terms are those of the *covering* of a string (Vieira et al. 2024,
https://arxiv.org/abs/2412.03719); of its members with one beginning, the last token is left to the
sampler. A word of one token costs no pass of the model, most others only those of their own tokens.
"""

from __future__ import annotations

import heapq
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from midfill.engine.api import GeneratedToken
from midfill.engine.model.logits import log_total

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

    from midfill.engine.model.token_tree import TokenText
    from midfill.engine.tokens.byte_index import ByteIndex

MOST_PASSES = 12
"""Passes of the model; the likeliest beginning by then is gone on with, token by token."""


class _Way(NamedTuple):
    """One way to spell the held bytes, or to begin to; in the order of looking at them."""

    cost: float
    """Minus the logarithm of the probability."""
    left: int
    """Bytes that are still to be spelled by a last token or several; 0: weighed with a last one."""
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Beginning(NamedTuple):
    """What the held bytes begin with."""

    tokens: tuple[GeneratedToken, ...]
    """Often none: one token can finish them."""
    logits: torch.Tensor
    """Logits of what follows them, (1, V); the text has them."""
    is_best: bool
    """One more token is to finish the held bytes; else the search was too long, and any may."""


def begin(text: TokenText, index: ByteIndex, hidden: torch.Tensor, held: bytes) -> Beginning:
    """Find the tokens before the one that finishes the held bytes.

    Args:
        text: The prompt; the tokens are put behind it.
        index: Of the vocabulary.
        hidden: The prompt's last state, (1, H).
        held: The bytes, at least one.
    """
    reader = _Reader(text, hidden)
    logits: dict[tuple[int, ...], torch.Tensor] = {(): text.logits(hidden)}
    way, ways = _Way(0.0, len(held), (), ()), list[_Way]()
    for _ in range(MOST_PASSES):
        row = logits[way.ids][0, : index.vocab_size].cpu().numpy()
        for longer in _longer(way, row - np.float32(log_total(row)), index, held):
            heapq.heappush(ways, longer)
        way = heapq.heappop(ways)
        if not way.left:
            break
        logits[way.ids] = text.logits(reader.read(way.ids))
    reader.read(way.ids)
    tokens = tuple(map(GeneratedToken, way.ids, way.logprobs))
    return Beginning(tokens, logits[way.ids], is_best=not way.left)


def _longer(
    way: _Way, logprobs: NDArray[np.float32], index: ByteIndex, held: bytes
) -> Iterator[_Way]:
    """By one token, with log-probabilities (V,): each that leaves some bytes, or all last ones."""
    rest = held[len(held) - way.left :]
    last = logprobs[index.covering(rest)]
    if len(last):
        yield _Way(way.cost - log_total(last), 0, way.ids, way.logprobs)
    for token_id in index.beginning(rest).tolist():
        left, logprob = way.left - len(index.token_bytes(token_id)), float(logprobs[token_id])
        yield _Way(way.cost - logprob, left, (*way.ids, token_id), (*way.logprobs, logprob))


class _Reader:
    """Puts tokens behind a prompt, and others in their place."""

    def __init__(self, text: TokenText, hidden: torch.Tensor) -> None:
        self._text, self._prompt = text, text.length
        self._ids: tuple[int, ...] = ()
        self._states = [hidden]

    def read(self, ids: tuple[int, ...]) -> torch.Tensor:
        """The last state behind them, (1, H)."""
        pairs = zip(ids, self._ids, strict=False)
        kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self._text.cut(self._prompt + kept)
        del self._states[kept + 1 :]
        if ids[kept:]:
            self._states += self._text.read(ids[kept:]).split(1)
        self._ids = ids
        return self._states[-1]
