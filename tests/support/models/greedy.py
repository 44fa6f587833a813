"""Prompts read by a model, and the likeliest tokens behind them, written alone or side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.token_tree import Branch, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.model.llama import LlamaModel

OUTPUT_TOKENS = 64


class Reading(NamedTuple):
    """A prompt that we have read, in one pass over an empty cache."""

    ids: list[int]
    slot: Slot
    states: torch.Tensor
    """Final hidden states, (T, hidden)."""


def new_slot(model: LlamaModel) -> Slot:
    """An empty sequence."""
    return Slot(model.architecture, model.dtype, model.device)


def greedy(model: LlamaModel, reading: Reading) -> list[int]:
    """The likeliest token behind a prompt, again and again; its slot is empty afterwards."""
    output: list[int] = []
    states = reading.states
    while True:
        output += model.logits(states[-1:]).argmax(-1).tolist()
        if len(output) == OUTPUT_TOKENS:
            reading.slot.cut(0)
            return output
        states = model.forward(output[-1:], reading.slot)


@torch.inference_mode()
def greedy_side_by_side(model: LlamaModel, readings: Sequence[Reading]) -> list[list[int]]:
    """The same for several prompts, in branches of one token tree that have no trunk."""
    slot, nodes = new_slot(model), list[range]()
    slot.reserve(sum(len(reading.ids) + OUTPUT_TOKENS for reading in readings))
    for ids, own, _ in readings:
        start, end = slot.length, slot.length + own.length
        slot.keys_values[:, :, :, start:end] = own.keys_values[:, :, :, : own.length]
        slot.append(ids)
        nodes.append(range(start, end))
    tree = Tree(model, slot, trunk=0)
    branches = [Branch(tree, places) for places in nodes]
    outputs: list[list[int]] = [[] for _ in readings]
    states = torch.cat([reading.states[-1:] for reading in readings])
    while True:
        for output, token in zip(outputs, model.logits(states).argmax(-1).tolist(), strict=True):
            output.append(token)
        if len(outputs[0]) == OUTPUT_TOKENS:
            return outputs
        last = [output[-1:] for output in outputs]
        states = torch.cat(tree.read_each(list(zip(last, branches, strict=True))))
