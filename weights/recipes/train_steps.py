"""The steps of a training: which rows, what each loss counts for, gradients, the optimizer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midfill.weights.recipes.shards import Row
    from midfill.weights.recipes.train_config import Stage, TrainConfig
    from midfill.weights.recipes.train_state import Group, Training


def learning_rate(stage: Stage, tokens: int) -> float:
    """Of a stage, after so many of its tokens: a rise from 0, then a line to its last value."""
    if tokens < stage.warmup_tokens:
        return stage.learning_rate * tokens / stage.warmup_tokens
    done = min(1.0, tokens / stage.tokens)
    return stage.learning_rate + done * (stage.last_learning_rate - stage.learning_rate)


def next_rows(rows: Sequence[Row], start: int, step_tokens: int) -> list[Row]:
    """The rows of one step: from a place on, wrapping around, until there are enough tokens."""
    chosen: list[Row] = []
    tokens = 0
    while tokens < step_tokens:
        chosen.append(rows[(start + len(chosen)) % len(rows)])
        tokens += len(chosen[-1].ids)
    return chosen


def batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[Row]]:
    """The rows in groups of at most so many tokens, a longer row alone."""
    batch: list[Row] = []
    for row in rows:
        if batch and sum(len(r.ids) for r in batch) + len(row.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def share(rows: Sequence[Row], group: Group) -> list[Row]:
    """The part of a step that is this process's: rows dealt out, each to who has least tokens."""
    loads = [0] * group.size
    mine = []
    for row in sorted(rows, key=lambda r: -len(r.ids)):
        rank = loads.index(min(loads))
        loads[rank] += len(row.ids)
        if rank == group.rank:
            mine.append(row)
    return mine


def loss_weights(row: Row, config: TrainConfig, end_weight: float = 1.0) -> list[float]:
    """Of each token's prediction of its successor; the last token has none."""
    length = len(row.ids)
    inside = length - row.middle
    outside = config.around_weight if inside else config.text_weight
    weights = [outside] * (length - 1 - inside) + [1.0] * inside + [0.0]
    if inside:
        weights[-2] = end_weight
    return weights


class Stepper:
    """Takes the steps of one training, together with the other processes of its group."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._config, self._group = training.config, training.group

    def step(self, stage: Stage, rows: Sequence[Row]) -> None:
        """One optimizer step on the rows that come next, noted in the position's log."""
        started = time.perf_counter()
        position, optimizer = self._training.position, self._training.optimizer
        chosen = next_rows(rows, position.row, stage.step_tokens or self._config.step_tokens)
        rate = learning_rate(stage, position.stage_tokens + sum(len(r.ids) for r in chosen) // 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        sums = self._gradients(chosen, stage.end_weight)
        parameters = list(self._training.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._config.clip)
        optimizer.step()
        optimizer.zero_grad()
        tokens = sum(len(row.ids) for row in chosen)
        position.step += 1
        position.row += len(chosen)
        position.tokens += tokens
        position.stage_tokens += tokens
        position.seconds += time.perf_counter() - started
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

    def held_out(self, rows: Sequence[Row]) -> tuple[float, float]:
        """Mean loss on the tokens of middles, and of rows without one, where nothing is learnt."""
        sums = torch.zeros(4, dtype=torch.float64)
        with torch.no_grad():
            for batch in batches(share(rows, self._group), self._config.batch_tokens):
                sums += self._losses(batch, 1.0)[1]
        middle, middles, text, texts = self._group.sum(sums).tolist()
        return middle / max(middles, 1), text / max(texts, 1)

    def _gradients(self, chosen: Sequence[Row], end_weight: float) -> list[float]:
        """Add up this step's gradients over all processes; sums and counts of both losses."""
        config, group = self._config, self._group
        every = [loss_weights(row, config, end_weight) for row in chosen]
        total = sum(map(sum, every))
        sums = torch.zeros(4, dtype=torch.float64)
        for batch in batches(share(chosen, group), config.batch_tokens):
            loss, parts = self._losses(batch, end_weight)
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

    def _losses(self, batch: Sequence[Row], end_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted sum of a batch's losses, and sums and counts inside and outside middles."""
        device = self._group.device
        ids = torch.cat([torch.from_numpy(row.ids.astype("int64")) for row in batch]).to(device)
        weights = torch.tensor(
            [w for row in batch for w in loss_weights(row, self._config, end_weight)],
            device=device,
        )
        rows = [len(row.ids) for row in batch]
        loss, each = self._training.model(ids, rows, ids.roll(-1), weights)
        is_middle = [place >= row.middle for row in batch for place in range(1, len(row.ids) + 1)]
        inside = torch.tensor(is_middle, device=device)[weights > 0]
        parts = [each[inside].sum(), inside.sum(), each[~inside].sum(), (~inside).sum()]
        return loss, torch.stack([part.double().cpu() for part in parts])
