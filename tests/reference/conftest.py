"""The real model twice, in fp32: in our engine and in transformers; and the prompts for both.

What either computes of a prompt is computed once, kept as final hidden states, and shared.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import pytest
import torch
from greedy import Reading, greedy, greedy_side_by_side, new_slot
from repository import TEST_DATA
from transformers import AutoModelForCausalLM, AutoTokenizer

from midfill.engine import EngineConfig
from midfill.engine.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

    from midfill.engine.generation.machine import Machine
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.llama import LlamaModel

PROMPTS = TEST_DATA / "prompts.json"
ALONE = 2
"""Outputs that are decoded in a slot of their own."""


_REPEATED = {name: cache(getattr(gguf, name)) for name in ("GGUFReader", "get_tensor_name_map")}
"""What transformers calls of the library, each time with the same arguments."""


@contextmanager
def read_once() -> Iterator[None]:
    """Let transformers read the file once.

    It reads 98,000 strings of it, one by one, for the configuration, for the weights and for the
    tokenizer, and makes the table of all names of tensors for each of its 397 modules.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, function in _REPEATED.items():
            patch.setattr(gguf, name, function)
        yield


@pytest.fixture(scope="session")
def machine(real_model_path: Path) -> Iterator[Machine]:
    """The parts of our engine; no request ever runs, so they may be used from here."""
    runtime = open_runtime(EngineConfig(str(real_model_path), dtype="fp32"))
    yield runtime.machine
    runtime.close()


@pytest.fixture(scope="session")
def model(machine: Machine) -> LlamaModel:
    """Ours."""
    return machine.model


@pytest.fixture
def slot(model: LlamaModel) -> Slot:
    """An empty one."""
    return new_slot(model)


@pytest.fixture(scope="session")
def reference(real_model_path: Path) -> PreTrainedModel:
    """Theirs: they dequantize the same file with code of their own."""
    folder, name = real_model_path.parent, real_model_path.name
    with read_once():
        return AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32
        ).eval()


@pytest.fixture(scope="session")
def their_tokenizer(real_model_path: Path) -> Any:
    """Theirs, as it comes."""
    with read_once():
        return AutoTokenizer.from_pretrained(real_model_path.parent, gguf_file=real_model_path.name)


@pytest.fixture(scope="session")
def prompts(machine: Machine) -> list[list[int]]:
    """The token ids of 20 pieces of code in 17 languages."""
    pieces = json.loads(PROMPTS.read_text(encoding="utf-8"))
    return [machine.tokenizer.encode("\n".join(piece["lines"])) for piece in pieces]


@pytest.fixture(scope="session")
def readings(model: LlamaModel, prompts: list[list[int]]) -> list[Reading]:
    """Each prompt as we read it."""
    slots = [new_slot(model) for _ in prompts]
    return [
        Reading(ids, slot, model.forward(ids, slot))
        for ids, slot in zip(prompts, slots, strict=True)
    ]


@pytest.fixture(scope="session")
def outputs(model: LlamaModel, readings: list[Reading]) -> list[list[int]]:
    """The likeliest 64 tokens behind each prompt, one after another, end-of-text or not.

    Most are written side by side, as the attempts at a completion are: a pass that gives each of
    18 texts a token takes the time of three or four passes for one.
    """
    side_by_side = greedy_side_by_side(model, readings[ALONE:])
    return [greedy(model, reading) for reading in readings[:ALONE]] + side_by_side


@pytest.fixture(scope="session")
def their_states(
    reference: PreTrainedModel, prompts: list[list[int]], outputs: list[list[int]]
) -> list[torch.Tensor]:
    """Final hidden states in transformers, (T, hidden), of each prompt with our output behind it.

    They come from one pass, without the last token, behind which nobody looks.
    """
    with torch.inference_mode():
        return [
            reference.model(torch.tensor([ids + output[:-1]])).last_hidden_state[0]
            for ids, output in zip(prompts, outputs, strict=True)
        ]
