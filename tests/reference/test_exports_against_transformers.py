"""Transformers opens what we export, and finds the same logits, tokens and ends in it.

In fp32, on a small random model with an adapter and new tokens. Errors of some 1e-7 come from the
order of additions; a wrong row order or rotation shows at 1e-2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from code_texts import FRAGMENTS
from tiny_adapters import adapter_tensors, model_config, write_adapter
from tiny_engine import SHAPE, tiny_checkpoint
from tiny_tokenizers import python_source
from transformers import AutoModelForCausalLM, AutoTokenizer

from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.loader import Placement, load_model
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.export import Target, export
from midfill.weights.formats.adapter import apply

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint

BASE = replace(SHAPE, vocab_size=1200, tie_word_embeddings=True)
NEW = {"<new_one>": 1200, "<new_two>": 1201}
IDS = [1, 300, 1201, 7, 7, 1200, 55, 1199]
ERROR = 1e-5


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A base, an adapter over it, another rotary base, two new tokens."""
    folder = write_adapter(
        tmp_path_factory.mktemp("adapter") / "mine",
        adapter_tensors(BASE, tokens={"model.embed_tokens": 2}),
        trainable_token_indices=[1200, 1201],
        added_tokens=NEW,
        model_config=model_config(
            BASE, vocab_size=1202, rope_parameters={"rope_type": "default", "rope_theta": 3e5}
        ),
    )
    return apply(tiny_checkpoint(BASE), folder)


@pytest.fixture(scope="module", params=["safetensors", "gguf"])
def exported(
    checkpoint: Checkpoint,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any]]:
    """The folder that transformers is to open, and its options for that."""
    folder = tmp_path_factory.mktemp("exported")
    kind: str = request.param
    path = folder / ("tiny.gguf" if kind == "gguf" else "tiny")
    export(checkpoint, Target(path, kind, "f32"), lambda _phase, _done, _total: None)
    return (folder, {"gguf_file": path.name}) if kind == "gguf" else (path, {})


def test_logits_are_the_same(checkpoint: Checkpoint, exported: tuple[Path, dict[str, Any]]) -> None:
    """After each token, new ones included."""
    folder, options = exported
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()
    placement = Placement(torch.device("cpu"), torch.float32, "fp32", "")
    model = load_model(checkpoint, placement, lambda _share: None)
    ours = model.logits(model.forward(IDS, Slot(model.architecture, model.dtype, model.device)))
    with torch.inference_mode():
        wanted = theirs(torch.tensor([IDS])).logits[0]
    torch.testing.assert_close(ours, wanted, rtol=0, atol=ERROR)


def test_texts_have_the_same_ids(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """From a folder: transformers ignores a GGUF's rule for digits (see the tokenizers' test)."""
    export(checkpoint, Target(tmp_path / "a", "safetensors", "f32"), lambda *_progress: None)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "a")
    ours = open_tokenizer(checkpoint.tokenizer)
    for text in [*FRAGMENTS, "x  1 12", *python_source().split("\n\n")[:60]]:
        ids = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert ids == ours.encode(text), repr(text)
    assert theirs.encode("<fim_prefix>a<new_two>") == [1, *ours.encode("a"), 1201]
    assert theirs.decode(ours.encode("def  f(): 1")) == "def  f(): 1"


def test_generation_ends_where_ours_does(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """At the end of a text or of a middle."""
    export(checkpoint, Target(tmp_path / "a", "safetensors", "f32"), lambda *_progress: None)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    fim_end = open_tokenizer(checkpoint.tokenizer).special_id("<fim_end>")
    assert theirs.generation_config.eos_token_id == [0, fim_end]
