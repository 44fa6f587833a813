"""Texts that a model reads on: one in a slot of its own, or several with the same beginning.

Several are a tree in one slot. A new token is a *node* behind its parent's; it sees the prompt, its
ancestors and itself, and is placed as in a text of its own. What the texts share is computed and
kept once, and one forward pass, which reads the weights once, can give a token to each of them.
Tree attention: Miao et al. 2023 (SpecInfer), https://arxiv.org/abs/2305.09781.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from midfill.engine.model.decoder import TreePositions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.model.decoder import Decoder
    from midfill.engine.model.kv_cache import Slot

LONGEST_PASS = 256
"""Tokens of a pass over a tree, at most."""
_FIRST_CAPACITY = 256


class TokenText(Protocol):
    """One text, with a model to read it."""

    @property
    def length(self) -> int:
        """Tokens that were read."""
        ...

    def cut(self, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        ...

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """Put T tokens behind it; their final hidden states, (T, hidden)."""
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in fp32, (T, V), of final hidden states (T, hidden)."""
        ...


class SlotText:
    """A slot that has one text, as slots do."""

    def __init__(self, model: Decoder, slot: Slot) -> None:
        self._model, self.slot = model, slot
        self.cut, self.logits = slot.cut, model.logits

    @property
    def length(self) -> int:
        """Tokens of the slot."""
        return self.slot.length

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """Put T tokens into the slot; their final hidden states, (T, hidden)."""
        return self._model.forward(ids, self.slot)


class Branch:
    """One text of a tree."""

    def __init__(self, tree: Tree, nodes: Sequence[int]) -> None:
        self._tree = tree
        self.logits = tree.logits
        self.nodes = list(nodes)
        self._shared = len(self.nodes)

    @property
    def length(self) -> int:
        """Tokens of its text, the prompt's included."""
        return self._tree.trunk + len(self.nodes)

    def cut(self, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        place = length - self._tree.trunk
        assert 0 <= place <= len(self.nodes), (length, self.length)
        own = self.nodes[max(place, self._shared) :]
        del self.nodes[place:]
        self._shared = min(self._shared, place)
        self._tree.forget(own)

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """Put T tokens behind it; their final hidden states, (T, hidden)."""
        return self._tree.read_each([(ids, self)])[0]

    def fork(self, length: int) -> Branch:
        """Another text that begins with the first ``length`` tokens of this one."""
        return Branch(self._tree, self.nodes[: length - self._tree.trunk])


class Tree:
    """Grows behind a slot's first tokens, until ``close``; nobody else may use the slot.

    Args:
        model: The decoder.
        slot: What it has behind the trunk becomes the first branch.
        trunk: Tokens that all branches begin with.
    """

    def __init__(self, model: Decoder, slot: Slot, trunk: int) -> None:
        self.trunk = trunk
        self.logits = model.logits
        self._model, self._slot, self._length = model, slot, slot.length
        count = slot.length - trunk
        self._seen = np.tri(max(count, _FIRST_CAPACITY), dtype=bool)
        self.first = Branch(self, range(count))

    def read_each(
        self, continued: Sequence[tuple[Sequence[int], Branch]]
    ) -> tuple[torch.Tensor, ...]:
        """Put tokens behind several branches.

        Returns:
            The final hidden states of each branch's new tokens, (T, hidden).
        """
        new, positions = list[int](), list[int]()
        for ids, branch in continued:
            first = self._slot.length - self.trunk + len(new)
            positions += range(branch.length, branch.length + len(ids))
            for node in range(first, first + len(ids)):
                branch.nodes.append(node)
                self._see(node, branch.nodes)
            new += ids
        states = []
        for at in range(0, len(new), LONGEST_PASS):
            part = slice(at, at + LONGEST_PASS)
            first, ids = self._slot.length - self.trunk, new[part]
            end = first + len(ids)
            tree = TreePositions(positions[part], self.trunk, self._seen[first:end, :end])
            states.append(self._model.forward(ids, self._slot, tree=tree))
        sizes = [len(ids) for ids, _ in continued]
        parts: tuple[torch.Tensor, ...] = torch.cat(states).split(sizes)
        return parts

    def forget(self, nodes: Sequence[int]) -> None:
        """Nobody needs these any more, in the order of a branch; room is won by the last ones."""
        end = self._slot.length - self.trunk
        for node in reversed(nodes):
            if node != end - 1:
                break
            end = node
        self._slot.cut(self.trunk + end)

    def close(self) -> None:
        """Leave the slot with the tokens that it had: those of the first branch."""
        self._slot.cut(self._length)

    def _see(self, node: int, nodes: Sequence[int]) -> None:
        if node >= len(self._seen):
            grown = np.zeros((2 * node, 2 * node), dtype=bool)
            grown[: len(self._seen), : len(self._seen)] = self._seen
            self._seen = grown
        self._seen[node] = False
        self._seen[node, nodes] = True
