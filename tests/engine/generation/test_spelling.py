"""How held bytes are spelled: the likeliest of all ways, compared with trying each one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_engine import new_slot

from midfill.engine.generation.spelling import MOST_PASSES, Beginning, begin
from midfill.engine.model.token_tree import SlotText
from midfill.engine.tokens.byte_index import ByteIndex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midfill.engine.model.kv_cache import Slot

TOKENS = [b"", b"a", b"b", b"c", b"ab", b"bc", b"ca", b"abc", b"abcab"]
PROMPT = [3, 3]


class Vocabulary:
    """As much of a tokenizer as an index needs."""

    vocab_size = len(TOKENS)

    def token_bytes(self, token_id: int) -> bytes:
        """Its text."""
        return TOKENS[token_id]


class TableModel:
    """The logits behind each sequence of tokens: as a table says, else all even."""

    def __init__(self, table: Mapping[tuple[int, ...], Sequence[float]]) -> None:
        self._table = table
        self._seen: list[tuple[int, ...]] = []
        self.passes = 0

    def forward(self, ids: Sequence[int], slot: Slot) -> torch.Tensor:
        """States that are places in a list of the sequences seen, (T, 1)."""
        self.passes += 1
        slot.reserve(slot.length + len(ids))
        slot.append(ids)
        texts = slot.ids.tolist()
        begin = len(texts) - len(ids)
        self._seen += [tuple(texts[: begin + n + 1]) for n in range(len(ids))]
        first = len(self._seen) - len(ids)
        return torch.arange(first, len(self._seen))[:, None].float()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """A row for each state, one longer than there are tokens."""
        rows = [self.row(self._seen[int(place)][len(PROMPT) :]) for place in hidden[:, 0]]
        return torch.tensor([[*row, 50.0] for row in rows])

    def row(self, ids: tuple[int, ...]) -> Sequence[float]:
        """Behind these tokens."""
        return self._table.get(ids, [0.0] * len(TOKENS))


INDEX = ByteIndex(Vocabulary())  # type: ignore[arg-type]


def found(model: TableModel, held: bytes) -> tuple[Beginning, Slot]:
    """What ``begin`` makes of the held bytes, behind a prompt."""
    slot = new_slot()
    hidden = model.forward(PROMPT, slot)[-1:]
    model.passes = 0
    return begin(SlotText(model, slot), INDEX, hidden, held), slot  # type: ignore[arg-type]


def weights(model: TableModel, held: bytes) -> dict[tuple[int, ...], float]:
    """The logarithm of what ``begin`` maximizes, for every way to begin, by trying each one."""
    result = {}
    ways: list[tuple[tuple[int, ...], bytes, float]] = [((), held, 0.0)]
    for ids, rest, logprob in ways:
        row = torch.tensor(model.row(ids)).double().log_softmax(0).tolist()
        last = [row[i] for i, token in enumerate(TOKENS) if token.startswith(rest)]
        if last:
            result[ids] = logprob + math.log(sum(map(math.exp, last)))
        ways += [
            ((*ids, i), rest[len(token) :], logprob + row[i])
            for i, token in enumerate(TOKENS)
            if token and token != rest and rest.startswith(token)
        ]
    return result


rows = st.lists(st.floats(-6, 6, width=32), min_size=len(TOKENS), max_size=len(TOKENS))
sequences = st.lists(st.integers(1, len(TOKENS) - 1), max_size=2).map(tuple)


@given(
    held=st.sampled_from([b"a", b"ab", b"abc", b"bca", b"abcb"]),
    table=st.dictionaries(sequences, rows),
)
def test_the_likeliest_way_of_all_is_found(
    held: bytes, table: dict[tuple[int, ...], list[float]]
) -> None:
    """And its tokens are in the slot, with their log-probabilities, behind the prompt."""
    model = TableModel(table)

    beginning, slot = found(model, held)

    ids = tuple(token.id for token in beginning.tokens)
    ways = weights(model, held)
    assert beginning.is_best
    assert ways[ids] == pytest.approx(max(ways.values()), abs=1e-4)
    assert slot.ids.tolist() == [*PROMPT, *ids]
    assert model.row(ids) == beginning.logits[0, :-1].tolist()
    for place, token in enumerate(beginning.tokens):
        row = torch.tensor(model.row(ids[:place])).log_softmax(0)
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-4)


def test_a_likelier_token_that_leads_nowhere_is_not_taken() -> None:
    """The case that greedy healing gets wrong: "a" first, and then nothing that fits."""
    a, ab, c = (TOKENS.index(token) for token in (b"a", b"ab", b"c"))
    row, behind_a, behind_ab = ([0.0] * len(TOKENS) for _ in range(3))
    row[a], row[ab] = 6.0, 4.0
    behind_a[a] = 9.0
    behind_ab[c] = 9.0

    beginning, _ = found(TableModel({(): row, (a,): behind_a, (ab,): behind_ab}), b"abc")

    assert [token.id for token in beginning.tokens] == [ab]
    assert beginning.is_best


def test_a_word_of_one_token_costs_no_pass() -> None:
    """Its beginnings are less likely than it, so none is looked at."""
    row = [0.0] * len(TOKENS)
    row[TOKENS.index(b"abc")] = 9.0
    model = TableModel({(): row})

    beginning, _ = found(model, b"abc")

    assert beginning.tokens == ()
    assert model.passes == 0


def test_a_search_without_an_end_is_given_up() -> None:
    """And goes on from the likeliest beginning, with any token that fits."""
    beginning, slot = found(TableModel({}), b"abc" * 20)

    assert not beginning.is_best
    assert (b"abc" * 20).startswith(b"".join(TOKENS[token.id] for token in beginning.tokens))
    assert len(beginning.tokens) <= MOST_PASSES
    assert slot.length == len(PROMPT) + len(beginning.tokens)
