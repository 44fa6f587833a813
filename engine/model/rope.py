"""Rotary position embedding (Su et al. 2021) in the rotate-half layout of transformers.

The base of the angles is the architecture's ``rope_theta``: 10,000 in Llama 2, raised to 1,000,000
by Code Llama's long-context fine-tuning (arXiv 2308.12950, section 2.4), which is all that long
context needs at inference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from midfill.engine.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.weights.architecture import LlamaArchitecture, RopeScaling


class RotaryTable:
    """Cosines and signed sines by position, grown on demand: two tables of (positions, D).

    The sine's first half is negated, so that ``x * cos + x.roll(D/2) * sin`` rotates.
    """

    def __init__(
        self, architecture: LlamaArchitecture, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._frequencies = inverse_frequencies(architecture).to(device)
        scaling = architecture.rope_scaling
        self._factor = scaling.attention_factor if scaling else 1.0
        self._dtype = dtype
        self._grow(min(2048, architecture.max_position_embeddings))

    def at(self, start: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and signed sines of positions start to stop, each (stop - start, 1, D)."""
        if end > self._cos.shape[0]:
            self._grow(max(end, 2 * self._cos.shape[0]))
        return self._cos[start:end], self._sin[start:end]

    def of(self, positions: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The same of some positions in any order."""
        cos, sin = self.at(0, max(positions) + 1)
        places = torch.tensor(positions, device=cos.device)
        return cos[places], sin[places]

    def _grow(self, positions: int) -> None:
        steps = torch.arange(positions, dtype=torch.float32, device=self._frequencies.device)
        angles = torch.outer(steps, self._frequencies)
        sine, cosine = angles.sin() * self._factor, angles.cos() * self._factor
        self._cos = torch.cat((cosine, cosine), -1).to(self._dtype).unsqueeze(1)
        self._sin = torch.cat((-sine, sine), -1).to(self._dtype).unsqueeze(1)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads ``x`` (T, H, D) turned by their positions' angles, each (T, 1, D)."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def inverse_frequencies(architecture: LlamaArchitecture) -> torch.Tensor:
    """Radians per position for each of the D/2 pairs, fp32."""
    exponents = torch.arange(0, architecture.head_dim, 2, dtype=torch.float32)
    frequencies = 1.0 / architecture.rope_theta ** (exponents / architecture.head_dim)
    scaling = architecture.rope_scaling
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "llama3":
        return _llama3(frequencies, scaling)
    if scaling.kind == "yarn":
        return _yarn(frequencies, scaling, architecture)
    if scaling.kind == "divided":
        return frequencies / torch.tensor(scaling.divisors)
    if scaling.kind == "dynamic":
        return _dynamic(frequencies, scaling, architecture)
    raise UnsupportedModelError(
        f"rope scaling {scaling.kind!r} is not implemented; it must be dynamic, linear, llama3 or"
        " yarn"
    )


def _dynamic(
    frequencies: torch.Tensor, scaling: RopeScaling, architecture: LlamaArchitecture
) -> torch.Tensor:
    """The base grown for the whole context, so that a cached key never has to be turned again.

    Transformers grows it for the text so far; the two agree within the original context, and on a
    text that fills the context.
    """
    grown = architecture.max_position_embeddings / scaling.original_context_length
    width = architecture.head_dim
    base = max(1.0, scaling.factor * grown - (scaling.factor - 1)) ** (width / (width - 2))
    exponents = torch.arange(0, width, 2, dtype=torch.float32) / width
    return frequencies / torch.pow(base, exponents)


def _yarn(
    frequencies: torch.Tensor, scaling: RopeScaling, architecture: LlamaArchitecture
) -> torch.Tensor:
    """Pairs that rotate seldom are divided by the factor, those that rotate often kept."""
    width, base = architecture.head_dim, architecture.rope_theta

    def pair_with(rotations: float) -> float:
        """The pair that rotates so often in the original context (equation 17)."""
        wavelength = scaling.original_context_length / (rotations * 2 * math.pi)
        return width * math.log(wavelength) / (2 * math.log(base))

    low, high = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    pairs = torch.arange(len(frequencies), dtype=torch.float32)
    divided = ((pairs - low) / ((high - low) or 0.001)).clamp(0, 1)
    return divided * frequencies / scaling.factor + (1 - divided) * frequencies


def _llama3(frequencies: torch.Tensor, scaling: RopeScaling) -> torch.Tensor:
    """Long wavelengths divided by the factor, short ones kept, those between interpolated.

    Source: transformers' ``modeling_rope_utils`` (Llama 3.1).
    """
    wavelengths = 2 * math.pi / frequencies
    rotations = scaling.original_context_length / wavelengths
    span = scaling.high_freq_factor - scaling.low_freq_factor
    keep = ((rotations - scaling.low_freq_factor) / span).clamp(0, 1)
    return (1 - keep) * frequencies / scaling.factor + keep * frequencies
