"""The real model twice, in fp32: in our engine and in transformers; and the prompts for both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from repository import TEST_DATA
from transformers import AutoModelForCausalLM

from midfill.engine import EngineConfig
from midfill.engine.model.kv_cache import Slot
from midfill.engine.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

    from midfill.engine.generation.machine import Machine
    from midfill.engine.model.llama import LlamaModel

PROMPTS = TEST_DATA / "prompts.json"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two are no faster at decoding in fp32, and many times slower where something else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def machine(real_model_path: Path) -> Iterator[Machine]:
    """The parts of our engine; no request ever runs, so they may be used from here."""
    runtime = open_runtime(EngineConfig(str(real_model_path), dtype="fp32", threads=1))
    yield runtime.machine
    runtime.close()


@pytest.fixture(scope="session")
def model(machine: Machine) -> LlamaModel:
    """Ours."""
    return machine.model


@pytest.fixture
def slot(model: LlamaModel) -> Slot:
    """An empty one."""
    return Slot(model.architecture, model.dtype, model.device)


@pytest.fixture(scope="session")
def reference(real_model_path: Path) -> PreTrainedModel:
    """Theirs: they dequantize the same file with code of their own."""
    return AutoModelForCausalLM.from_pretrained(
        real_model_path.parent, gguf_file=real_model_path.name, dtype=torch.float32
    ).eval()


@pytest.fixture(scope="session")
def prompts(machine: Machine) -> list[list[int]]:
    """The token ids of 20 pieces of code in 17 languages."""
    pieces = json.loads(PROMPTS.read_text(encoding="utf-8"))
    return [machine.tokenizer.encode("\n".join(piece["lines"])) for piece in pieces]
