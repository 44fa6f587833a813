"""Matrices that multiply activations; quantized formats become further classes of this shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch.nn.functional import linear

if TYPE_CHECKING:
    import torch


class Linear(Protocol):
    """``y = x @ W.T`` for activations x of (T, in_features)."""

    @property
    def parameters(self) -> int:
        """Weights in the matrix."""
        ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(T, in_features) to (T, out_features), in x's dtype."""
        ...


class DenseLinear:
    """A plain matrix (out_features, in_features) in the model's dtype."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight

    @property
    def parameters(self) -> int:
        """Weights in the matrix."""
        return self.weight.numel()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(T, in_features) to (T, out_features), in x's dtype."""
        return linear(x, self.weight)
