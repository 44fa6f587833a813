"""Keys and values of past tokens, in a few slots of one sequence each.

Invariant: a slot's ids name exactly the tokens whose keys and values it holds. They are appended
only after the forward pass that filled them, so a cancel leaves nothing to repair; a hit is decided
on the ids themselves, never on a hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.weights.architecture import LlamaArchitecture

WORTH_KEEPING = 32
"""Prompt tokens. A branch longer than this is not cut back: another slot takes the common part."""

_FIRST_CAPACITY = 512


class Slot:
    """One sequence: token ids, and keys and values as (2, L, Hkv, capacity, D)."""

    def __init__(
        self, architecture: LlamaArchitecture, dtype: torch.dtype, device: torch.device
    ) -> None:
        a = architecture
        self._shape = (2, a.num_hidden_layers, a.num_key_value_heads, 0, a.head_dim)
        self._kv = torch.empty(self._shape, dtype=dtype, device=device)
        self._ids = np.empty(0, dtype=np.int64)
        self.length = 0
        self.prompt_length = 0
        self.last_used = 0

    @property
    def ids(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The cached tokens, (S,)."""
        return self._ids[: self.length]

    @property
    def keys_values(self) -> torch.Tensor:
        """All of them, (2, L, Hkv, capacity, D), until ``reserve`` moves them."""
        return self._kv

    def write(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put T new keys and values, each (T, Hkv, D), behind the cached ones of a layer.

        Returns:
            All keys and all values of the layer, each (Hkv, S + T, D). The new ones count as cached
            after ``append``.
        """
        end = self.length + key.shape[0]
        keys, values = self._kv[0, layer, :, :end], self._kv[1, layer, :, :end]
        keys[:, self.length :] = key.transpose(0, 1)
        values[:, self.length :] = value.transpose(0, 1)
        return keys, values

    @torch.inference_mode()  # as forward: what grew in there may not be written to outside
    def reserve(self, tokens: int) -> None:
        """Make room for so many tokens in all, doubling as lists do."""
        capacity = self._kv.shape[3]
        if tokens <= capacity:
            return
        capacity = max(tokens, 2 * capacity, _FIRST_CAPACITY)
        grown = self._kv.new_empty((*self._shape[:3], capacity, self._shape[4]))
        grown[:, :, :, : self.length] = self._kv[:, :, :, : self.length]
        self._kv = grown
        self._ids = np.concatenate((self.ids, np.empty(capacity - self.length, dtype=np.int64)))

    def append(self, ids: Sequence[int]) -> None:
        """Count tokens as cached, once every layer has written them."""
        end = self.length + len(ids)
        self._ids[self.length : end] = ids
        self.length = end

    def cut(self, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        assert 0 <= length <= self.length, (length, self.length)
        self.length = length

    @torch.inference_mode()
    def copy_from(self, other: Slot, length: int) -> None:
        """Become a copy of another slot's first ``length`` tokens."""
        self.length = 0
        self.reserve(length)
        self._kv[:, :, :, :length] = other._kv[:, :, :, :length]
        self.append(other._ids[:length].tolist())


class KVCache:
    """The slots, and the choice among them."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self._clock = 0

    def match(self, ids: Sequence[int]) -> int:
        """How many leading tokens of ``ids`` some slot holds."""
        prompt = np.asarray(ids, dtype=np.int64)
        return max(common_prefix(slot.ids, prompt) for slot in self.slots)

    def take(self, ids: Sequence[int], *, is_guess: bool = False) -> Slot:
        """The slot to complete this prompt in, cut back to what it shares with the prompt.

        The longest match wins. If cutting it back would lose a prompt worth keeping, the common
        part is copied to the slot that was used longest ago: a copy is thousands of times cheaper
        than a prefill. The prompt's last token is left to compute, since its logits are needed.

        Args:
            ids: The prompt.
            is_guess: Nobody has asked for it yet. It does not count as use: the next guess, or
                the next prompt without a slot, takes its place, and not that of a prompt in use.
                What it adds to a prompt in use is not worth keeping either.
        """
        prompt = np.asarray(ids, dtype=np.int64)
        shared, slot = max(
            ((common_prefix(slot.ids, prompt), slot) for slot in self.slots),
            key=lambda match: (match[0], match[1].last_used),
        )
        goes_on = 0 < slot.prompt_length <= shared
        if min(slot.prompt_length, slot.length) - shared > WORTH_KEEPING:  # a cancel leaves less
            slot = self._branch(slot, shared)
        slot.cut(min(shared, len(prompt) - 1))
        if not (is_guess and goes_on):
            slot.prompt_length = len(prompt)
        if not is_guess:
            self._clock += 1
            slot.last_used = self._clock
        return slot

    def _branch(self, source: Slot, length: int) -> Slot:
        oldest = min(self.slots, key=lambda s: (s.last_used, s.length))  # an empty one first
        if oldest is not source:
            oldest.copy_from(source, length)
        return oldest


def common_prefix(
    a: np.ndarray[tuple[int], np.dtype[np.int64]], b: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> int:
    """How many leading elements two id arrays share."""
    n = min(len(a), len(b))
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if len(differ) else n
