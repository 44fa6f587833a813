"""Qwen2 from a folder and from GGUF computes what transformers computes, kernels included.

Weights are random, biases too. Tolerances are as in ``test_model_against_transformers``, relative
to the largest logit; int8 rounds weights and activations (to 0.4 % of the largest of 32).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from code_texts import code_texts
from hypothesis import given, settings
from tiny_tokenizers import tiny_byte_level_vocabulary, tiny_tokenizer_json
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from midfill.engine import CompletionRequest, EngineConfig
from midfill.engine.model.kv_cache import Slot
from midfill.engine.runtime import open_runtime
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.formats import gguf_writer

if TYPE_CHECKING:
    from pathlib import Path

TOLERANCE = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.05}
VOCABULARY = tiny_byte_level_vocabulary("qwen2")
IDS = [(7919 * i + 13) % len(VOCABULARY.tokens) for i in range(90)]


@pytest.fixture(scope="module")
def theirs() -> Qwen2ForCausalLM:
    """A random model, whose biases transformers would leave at 0."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(VOCABULARY.tokens),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        use_sliding_window=False,
        max_window_layers=3,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = Qwen2ForCausalLM(config).float().eval()
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=1.0)
    return model


@pytest.fixture(scope="module")
def folder(theirs: Qwen2ForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as transformers writes it, with a tokenizer by Qwen's rule."""
    path = tmp_path_factory.mktemp("qwen2") / "tiny-qwen2"
    theirs.save_pretrained(path)
    (path / "tokenizer.json").write_text(tiny_tokenizer_json("qwen2"), "utf-8")
    return path


@pytest.fixture(scope="module")
def gguf_file(folder: Path) -> Path:
    """The same in GGUF."""
    file = folder.with_suffix(".gguf")
    checkpoint = open_checkpoint(str(folder))
    gguf_writer.write_checkpoint(checkpoint, file, "F32", None, lambda *_: None)
    return file


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_logits_equal_those_of_transformers(
    theirs: Qwen2ForCausalLM, folder: Path, gguf_file: Path, kind: str, dtype: str
) -> None:
    """A prompt, and one token after another behind it."""
    file = folder if kind == "folder" else gguf_file
    runtime = open_runtime(EngineConfig(str(file), device="cpu", dtype=dtype, threads=1))
    model = runtime.machine.model
    slot = Slot(model.architecture, model.dtype, model.device)
    parts = [IDS[:64], *([token] for token in IDS[64:])]
    ours = torch.cat([model.logits(model.forward(part, slot)) for part in parts])
    with torch.inference_mode():
        expected = theirs(torch.tensor([IDS])).logits[0]
    error = float((ours - expected).abs().max() / expected.abs().max())
    assert error < TOLERANCE[dtype]
    runtime.close()


@settings(max_examples=100)
@given(text=code_texts())
def test_ids_are_those_of_transformers(folder: Path, text: str) -> None:
    """From the folder's tokenizer.json."""
    fast = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ours = open_tokenizer(open_checkpoint(str(folder)).tokenizer)
    if not any(token in text for token in fast.get_added_vocab()):
        assert ours.encode(text) == fast.encode(text, add_special_tokens=False)


def test_the_infilling_tokens_of_qwen_give_its_prompt(folder: Path) -> None:
    """Repository and files before the markers, as in its model card."""
    names = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"]
    text = tiny_tokenizer_json("qwen2")
    for old, new in zip(VOCABULARY.tokens[2:7], names, strict=True):
        text = text.replace(f'"{old}"', f'"{new}"')
    (folder / "tokenizer.json").write_text(text, "utf-8")
    runtime = open_runtime(EngineConfig(str(folder), device="cpu", dtype="fp32", threads=1))
    assert runtime.info.dialect == "qwen2.5-coder"
    machine = runtime.machine
    request = CompletionRequest("def f():\n    ", "\nf()\n", heal=False, path="a.py")
    prompt = machine.prompter.build(replace(request, repo_name="r"), 400, lambda _: 0)
    spelled = [
        names[token - 2].encode() if 2 <= token < 7 else machine.tokenizer.token_bytes(token)
        for token in prompt.ids
    ]
    assert b"".join(spelled) == (b"<|fim_prefix|>def f():\n    <|fim_suffix|>\nf()\n<|fim_middle|>")
    runtime.close()
