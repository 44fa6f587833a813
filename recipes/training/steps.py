"""The steps of a training: which rows, what each loss counts for, gradients, the optimizer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from midfill.recipes.training.examples import FIM_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from midfill.recipes.training.config import Stage, TrainConfig
    from midfill.recipes.training.shards import RowSource, TokenRow
    from midfill.recipes.training.state import Group, Training


def learning_rate(stage: Stage, tokens: int, seconds: float = 0.0) -> float:
    """The learning rate after so many of a stage's tokens and seconds of its steps.

    A rise from 0, then a line to its last value: by tokens, or by the time where that is nearer its
    end.
    """
    if tokens < stage.warmup_tokens:
        return stage.learning_rate * tokens / stage.warmup_tokens
    done = min(1.0, tokens / stage.tokens)
    if stage.minutes:
        done = max(done, min(1.0, seconds / 60 / stage.minutes))
    return stage.learning_rate + done * (stage.last_learning_rate - stage.learning_rate)


def next_rows(rows: RowSource, start: int, step_tokens: int) -> list[TokenRow]:
    """The rows of one step: from a place on, until there are enough tokens."""
    chosen: list[TokenRow] = []
    tokens = 0
    while tokens < step_tokens:
        chosen.append(rows[start + len(chosen)])
        tokens += len(chosen[-1].ids)
    return chosen


def batches(rows: Sequence[TokenRow], batch_tokens: int) -> Iterator[list[TokenRow]]:
    """The rows in groups of at most so many tokens, a longer row alone."""
    batch: list[TokenRow] = []
    for row in rows:
        if batch and sum(len(r.ids) for r in batch) + len(row.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def share(rows: Sequence[TokenRow], group: Group) -> list[TokenRow]:
    """The part of a step that is this process's: rows dealt out, each to who has least tokens."""
    loads = [0] * group.size
    mine = []
    for row in sorted(rows, key=lambda r: -len(r.ids)):
        rank = loads.index(min(loads))
        loads[rank] += len(row.ids)
        if rank == group.rank:
            mine.append(row)
    return mine


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows laid end to end, N tokens."""

    lengths: list[int]
    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    """The weight of each token's prediction of its successor; the last of a row has none."""
    inside: NDArray[np.bool_]
    """Whether the successor is in a middle."""


def lay_out(
    rows: Sequence[TokenRow],
    config: TrainConfig,
    fim_middle: int,
    end_weight: float = 1.0,
    pad_to: int = 0,
) -> Batch:
    """The rows as one batch, with a last row of nothing up to so many tokens.

    In SPM nothing tells a prefix from the middle that follows it. Were both learnt, the model would
    give the end of a middle the odds that it has anywhere in the two, instead of in the middle,
    where it is asked: "around" is what stands before ``<fim_middle>`` alone.
    """
    lengths = [len(row.ids) for row in rows]
    padding = max(0, pad_to - sum(lengths))
    ids = np.concatenate([*(row.ids for row in rows), np.zeros(padding, np.uint16)])
    weights, inside = np.zeros(len(ids), np.float32), np.zeros(len(ids), bool)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        first, last = start + row.middle - 1, start + length - 1
        is_whole = row.middle == length
        if is_whole:
            weights[start:last] = config.text_weight
        else:
            marker = start + np.flatnonzero(row.ids[: row.middle] == fim_middle)[-1]
            weights[start:marker] = config.around_weight
            weights[first:last], inside[first:last] = 1.0, True
            weights[last - 1] = end_weight
        start += length
    return Batch([*lengths, padding] if padding else lengths, ids.astype(np.int64), weights, inside)


class Stepper:
    """Takes the steps of one training, together with the other processes of its group."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._config, self._group = training.config, training.group
        from_last = FIM_TOKENS[::-1].index("<fim_middle>") + 1
        self._fim_middle = training.model.architecture.vocab_size - from_last

    def step(self, stage: Stage, rows: RowSource) -> None:
        """One optimizer step on the rows that come next, noted in the position's log."""
        started = time.perf_counter()
        position, optimizer = self._training.position, self._training.optimizer
        chosen = next_rows(rows, position.row, stage.step_tokens or self._config.step_tokens)
        tokens = sum(len(row.ids) for row in chosen)
        rate = learning_rate(stage, position.stage_tokens + tokens // 2, position.stage_seconds)
        for group in optimizer.param_groups:
            group["lr"] = rate
        sums = self._gradients(chosen, stage.end_weight)
        parameters = list(self._training.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._config.clip)
        optimizer.step()
        optimizer.zero_grad()
        position.step += 1
        position.row += len(chosen)
        position.tokens += tokens
        position.stage_tokens += tokens
        seconds = self._group.total(time.perf_counter() - started) / self._group.size
        position.seconds += seconds
        position.stage_seconds += seconds
        position.log.append(
            {
                "step": position.step,
                "stage": stage.name,
                "tokens": position.tokens,
                "seconds": round(position.seconds, 1),
                "middle_loss": round(sums[0] / max(sums[1], 1), 4),
                "text_loss": round(sums[2] / max(sums[3], 1), 4),
                "gradient_norm": round(float(norm), 4),
                "learning_rate": rate,
            }
        )

    def held_out(self, rows: Sequence[TokenRow]) -> tuple[float, float]:
        """Mean loss on the tokens of middles, and of rows without one, where nothing is learnt."""
        sums = self._no_sums()
        # On a GPU with a gradient that nobody wants, or all parts are compiled once more.
        with torch.set_grad_enabled(self._group.device.type == "cuda"):
            for batch in batches(share(rows, self._group), self._config.batch_tokens):
                sums += self._losses(self._laid_out(batch, 1.0))[1].detach()
        middle, middles, text, texts = self._group.sum(sums).tolist()
        return middle / max(middles, 1), text / max(texts, 1)

    def _gradients(self, chosen: Sequence[TokenRow], end_weight: float) -> list[float]:
        """Add up this step's gradients over all processes; sums and counts of both losses."""
        config, group = self._config, self._group
        mine = batches(share(chosen, group), config.batch_tokens)
        laid_out = [self._laid_out(batch, end_weight) for batch in mine]
        total = group.total(sum(float(batch.weights.sum()) for batch in laid_out))
        sums = self._no_sums()
        for batch in laid_out:
            loss, parts = self._losses(batch)
            (loss / total).backward()
            sums += parts
        if not config.sharded:
            self._add_up()
        else:  # FSDP2 takes the mean over the processes
            for parameter in self._training.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(group.size)
        result: list[float] = group.sum(sums).tolist()
        return result

    def _no_sums(self) -> torch.Tensor:
        return torch.zeros(4, dtype=torch.float64, device=self._group.device)

    def _laid_out(self, batch: Sequence[TokenRow], end_weight: float) -> Batch:
        """Compiled parts are for one length."""
        pad_to = self._config.batch_tokens if self._group.device.type == "cuda" else 0
        return lay_out(batch, self._config, self._fim_middle, end_weight, pad_to)

    def _add_up(self) -> None:
        """The gradients of all processes, in one message."""
        if self._group.size == 1:
            return
        parameters = list(self._training.model.parameters())
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self._group.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def _losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted sum of a batch's losses, and sums and counts inside and outside middles."""
        ids, weights, inside = (
            torch.from_numpy(part).to(self._group.device, non_blocking=True)
            for part in (batch.ids, batch.weights, batch.inside)
        )
        loss, each = self._training.model(ids, batch.lengths, ids.roll(-1), weights)
        inside, outside = inside & (weights > 0), ~inside & (weights > 0)
        parts = [(each * inside).sum(), inside.sum(), (each * outside).sum(), outside.sum()]
        return loss, torch.stack([part.double() for part in parts])
