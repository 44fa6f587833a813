"""Tokens drafted without a model: what followed the last few tokens where they stood before.

Code repeats what stands around it. One forward pass checks several drafted tokens at little more
than the price of one, since it reads the weights once; the text is what the model alone would have
written. Speculative decoding: Leviathan et al. 2023, https://arxiv.org/abs/2211.17192; drafts by
lookup: Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MOST_TOKENS = 7
"""Tokens of a draft: with the one before, as many as the kernels run at little over one's cost."""
LEAST_MATCH, MOST_MATCH = 3, MOST_TOKENS
"""Tokens that have to be the same before a draft, and that are compared at most."""


class Drafter:
    """Drafts how a text goes on.

    Args:
        sources: Texts to look in, as token ids; the last one is the text that goes on.
        never: Tokens that are no part of a draft.
    """

    def __init__(self, sources: Sequence[Sequence[int]], never: Collection[int]) -> None:
        known = [np.asarray(source, dtype=np.int64) for source in sources]
        self._ids = np.concatenate((*known, np.empty(256, dtype=np.int64)))
        self._count = sum(map(len, known))
        self._never = never

    def add(self, token_id: int) -> None:
        """Tell how the text went on."""
        if self._count == len(self._ids):
            self._ids = np.concatenate((self._ids, np.empty_like(self._ids)))
        self._ids[self._count] = token_id
        self._count += 1

    def draft(self, most: int = MOST_TOKENS) -> list[int]:
        """The next tokens, up to ``most`` and no more than matched before them; often none."""
        ids = self._ids[: self._count]
        place, matched = _longest_match(ids)
        draft: list[int] = ids[place + 1 : place + 1 + min(most, matched)].tolist()
        end = next((i for i, token_id in enumerate(draft) if token_id in self._never), len(draft))
        return draft[:end]


def _longest_match(ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[int, int]:
    """Where the longest tail of ``ids`` ended before, at last, and its length; 0, 0 if nowhere."""
    found = np.flatnonzero(ids[:-1] == ids[-1])
    matched = 1
    while len(found) and matched < MOST_MATCH:
        longer = found[found >= matched]
        longer = longer[ids[longer - matched] == ids[len(ids) - 1 - matched]]
        if not len(longer):
            break
        found, matched = longer, matched + 1
    return (int(found[-1]), matched) if len(found) and matched >= LEAST_MATCH else (0, 0)
