"""What completions need of a model, whichever arithmetic runs it.

Axes: T new tokens, S cached tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.scheduling.cancel import CancelFlag
    from midfill.weights.architecture import LlamaArchitecture


@dataclass(frozen=True, slots=True)
class TreePositions:
    """Where T new tokens behind the S of a slot stand, if these are not one text."""

    positions: list[int]
    """The position of each one in its own text."""
    trunk: int
    """So many first tokens of the slot are seen by all."""
    seen: NDArray[np.bool_]
    """What else each one sees, (T, S + T - trunk)."""


class Decoder(Protocol):
    """What completions need of a model: ``LlamaModel``, or the same with native kernels."""

    @property
    def architecture(self) -> LlamaArchitecture:
        """Its shape."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The format of keys and values."""
        ...

    @property
    def device(self) -> torch.device:
        """Where everything lives."""
        ...

    @property
    def parameters(self) -> int:
        """Weights in all matrices and norms, a tied head counted once."""
        ...

    def forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        cancel: CancelFlag | None = None,
        tree: TreePositions | None = None,
    ) -> torch.Tensor:
        """Run T new tokens behind a slot's S cached ones; final hidden states, (T, hidden).

        With a tree they may be several texts' tokens, and no more than 256.

        Raises:
            CancelledPassError: ``cancel`` was set, and the model saw it.
        """
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in fp32, (T, V), of final hidden states (T, hidden)."""
        ...
