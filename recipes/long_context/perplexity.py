"""How well a model predicts a text, by the position of each token in it.

Invariant: logits are taken chunk by chunk and never stand as (T, V) for a whole text; the
log-softmax is in fp32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from midfill.engine.model.kv_cache import Slot
from midfill.recipes.long_context.settings import TAIL
from midfill.recipes.long_context.texts import encode_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from midfill.engine.generation.machine import Machine

FIRST_BUCKET = 512
CHUNK, LOGIT_ROWS = 256, 64
"""Tokens of a forward pass, and of these at a time for logits: 64 x 49,156 in fp32 are 12 MB."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums over the tokens of one document at positions from ``start`` on, before ``stop``."""

    start: int
    stop: int
    tokens: int
    size: int
    """Bytes of their text."""
    nll: float
    """Negative log-likelihood, in nats."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Sums over documents as figures; the standard errors treat documents as the drawn units.

    The error of a single document is unknown: None.
    """

    documents: int
    tokens: int
    perplexity: float
    """A token's: exp of all nats over all tokens."""
    perplexity_error: float | None
    bits_per_byte: float
    """All bits over all bytes; comparable between tokenizers."""
    bits_per_byte_error: float | None
    mean_bits_per_byte: float
    """The mean of the documents' own figures, each document counted once."""
    mean_bits_per_byte_error: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Second minus first, in bits per byte, paired by document; negative: the second is better."""

    documents: int
    mean: float
    error: float | None
    second_better: int
    """Documents."""


def boundaries(positions: int) -> list[tuple[int, int]]:
    """0 to 512, then doubling, up to and including a last bucket that ends at ``positions``."""
    edges = [0, FIRST_BUCKET]
    while edges[-1] < positions:
        edges.append(2 * edges[-1])
    edges = [edge for edge in edges if edge < positions] + [positions]
    return list(pairwise(edges))


def token_losses(machine: Machine, ids: Sequence[int]) -> NDArray[np.float64]:
    """Nats of each token given all before it, (T,); the first follows the token that starts a text.

    Use it only while no request runs on the machine.
    """
    model, tokenizer = machine.model, machine.tokenizer
    bos = tokenizer.bos_id
    start = min(tokenizer.eos_ids or tokenizer.special_ids) if bos is None else bos
    shifted = [start, *ids[:-1]]
    slot = Slot(model.architecture, model.dtype, model.device)
    losses: list[NDArray[np.float64]] = []
    for at in range(0, len(ids), CHUNK):
        hidden = model.forward(shifted[at : at + CHUNK], slot)
        wanted = torch.tensor(ids[at : at + CHUNK], device=hidden.device)
        for row in range(0, len(hidden), LOGIT_ROWS):
            logits = model.logits(hidden[row : row + LOGIT_ROWS]).float()
            chosen = logits.gather(1, wanted[row : row + LOGIT_ROWS, None])[:, 0]
            losses.append((logits.logsumexp(-1) - chosen).double().cpu().numpy())
    return np.concatenate(losses)


def measure(machine: Machine, text: str, positions: int) -> list[Bucket]:
    """The sums of a document's buckets, those that it reaches."""
    ids = encode_head(machine.tokenizer, text, positions)
    losses = token_losses(machine, ids)
    sizes = np.array([len(machine.tokenizer.token_bytes(token)) for token in ids])
    return [
        Bucket(
            start,
            stop,
            tokens=len(ids[start:stop]),
            size=int(sizes[start:stop].sum()),
            nll=float(losses[start:stop].sum()),
        )
        for start, stop in boundaries(positions)
        if start < len(ids)
    ]


def measure_behind(machine: Machine, text: str, positions: int, context: int) -> list[Bucket]:
    """The last ``TAIL`` of the text's ``positions``, read behind ``context`` tokens before them.

    One bucket, which starts at ``context``; none for a text shorter than ``positions``.
    """
    ids = encode_head(machine.tokenizer, text, positions)
    if len(ids) < positions:
        return []
    tail = ids[-TAIL:]
    size = sum(len(machine.tokenizer.token_bytes(token)) for token in tail)
    losses = token_losses(machine, ids[-TAIL - context :])[-TAIL:]
    return [Bucket(context, context + TAIL, TAIL, size, float(losses.sum()))]


def whole(buckets: Iterable[Bucket]) -> Bucket:
    """All of a document's buckets as one."""
    some = list(buckets)
    return Bucket(
        min(bucket.start for bucket in some),
        max(bucket.stop for bucket in some),
        sum(bucket.tokens for bucket in some),
        sum(bucket.size for bucket in some),
        sum(bucket.nll for bucket in some),
    )


def loss(documents: Sequence[Bucket]) -> Loss:
    """One bucket of each document as figures; there must be one document at least."""
    nll = [bucket.nll for bucket in documents]
    per_token, token_error = _ratio(nll, [bucket.tokens for bucket in documents])
    per_byte, byte_error = _ratio(nll, [bucket.size for bucket in documents])
    mean, mean_error = _mean([bits_per_byte(bucket) for bucket in documents])
    perplexity = math.exp(per_token)
    return Loss(
        documents=len(documents),
        tokens=sum(bucket.tokens for bucket in documents),
        perplexity=perplexity,
        perplexity_error=_scaled(token_error, perplexity),
        bits_per_byte=per_byte / math.log(2),
        bits_per_byte_error=_scaled(byte_error, 1 / math.log(2)),
        mean_bits_per_byte=mean,
        mean_bits_per_byte_error=mean_error,
    )


def difference(pairs: Iterable[tuple[Bucket, Bucket]]) -> Difference:
    """Two models on the same documents."""
    values = [bits_per_byte(second) - bits_per_byte(first) for first, second in pairs]
    mean, error = _mean(values)
    return Difference(len(values), mean, error, sum(value < 0 for value in values))


def bits_per_byte(bucket: Bucket) -> float:
    """Bits of one document's bucket over its bytes; an empty text counts as one byte."""
    return bucket.nll / math.log(2) / max(1, bucket.size)


def _mean(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error."""
    mean = sum(values) / len(values)
    return mean, _scaled(_error([value - mean for value in values]), 1 / len(values))


def _ratio(upper: Sequence[float], lower: Sequence[float]) -> tuple[float, float | None]:
    """The ratio of two sums, and its standard error (the delta method; Cochran 1977, 6.3)."""
    ratio = sum(upper) / sum(lower)
    residuals = [u - ratio * v for u, v in zip(upper, lower, strict=True)]
    return ratio, _scaled(_error(residuals), 1 / sum(lower))


def _error(residuals: Sequence[float]) -> float | None:
    """The standard error of a sum of draws with these residuals; one draw has no spread."""
    n = len(residuals)
    if n < 2:
        return None
    return math.sqrt(n / (n - 1) * sum(value * value for value in residuals))


def _scaled(error: float | None, factor: float) -> float | None:
    return None if error is None else error * factor
