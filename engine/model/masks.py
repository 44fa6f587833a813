"""Which tokens a token sees: those before it, its own branch of a tree, the nearest ones.

Axes: T new tokens, S cached tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from midfill.engine.model.decoder import TreePositions


def visible(
    start: int, end: int, tree: TreePositions | None, window: int, device: torch.device
) -> torch.Tensor:
    """Whether a new token (row) sees a token (column), itself included, (T, S + T).

    Args:
        start: Cached tokens, S.
        end: Those and the new ones.
        tree: Where the new ones stand, if they are not the text that follows.
        window: Each sees so many at most, the last of its text; 0: all.
        device: Where the result shall be.
    """
    columns = torch.arange(end, device=device)
    seen = columns <= columns[start:].unsqueeze(1)
    if tree is not None:
        seen[:, : tree.trunk] = True
        seen[:, tree.trunk :] = torch.from_numpy(tree.seen).to(device)
    return last_seen(seen, window) if window else seen


def last_seen(seen: torch.Tensor, count: int) -> torch.Tensor:
    """The last ones of those that are seen in each row, (T, n)."""
    return seen & (seen.flip(-1).cumsum(-1).flip(-1) <= count)
