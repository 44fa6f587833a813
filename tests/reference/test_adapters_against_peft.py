"""Adapters that PEFT saved give the weights and logits that PEFT itself merges.

In fp32, on a small random model. PEFT multiplies the factors before it adds them, we do both at
once, so weights differ by rounding, some 1e-8, and logits by some 1e-7; a wrong scale or row shows
at 1e-2.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import write_llama_folder
from tiny_tokenizers import tiny_tokenizer_json

from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.loader import Placement, load_model
from midfill.weights.formats.adapter import apply
from midfill.weights.formats.huggingface import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import LlamaForCausalLM

    from midfill.weights.architecture import Checkpoint

# What peft and transformers say to each other, of releases to come and of names they cannot know.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:The PEFT config's `base_model_name_or_path`"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]

TOKENS = 1200
NEW = {"<new_one>": TOKENS, "<new_two>": TOKENS + 1}
IDS = [1, 300, TOKENS + 1, 7, 7, TOKENS, 55, 1199]
WEIGHTS, LOGITS = 1e-6, 1e-5


def saved(folder: Path, *, tied: bool, new: bool, **settings: Any) -> LlamaForCausalLM:
    """Let PEFT write a random adapter beside a random model; the merged model."""
    model = write_llama_folder(folder / "base", vocab_size=TOKENS, tie_word_embeddings=tied)
    (folder / "base" / "tokenizer.json").write_text(tiny_tokenizer_json(), "utf-8")
    if new:
        model.resize_token_embeddings(TOKENS + len(NEW))
        tables = ("embed_tokens",) if tied else ("embed_tokens", "lm_head")
        rows = {table: [TOKENS + 1, 3, TOKENS] for table in tables}
        settings |= {"trainable_token_indices": rows}
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name or "trainable_tokens_delta" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(folder / "adapter")
    if new:
        (folder / "adapter" / "added_tokens.json").write_text(json.dumps(NEW), "utf-8")
        model.config.save_pretrained(folder / "adapter")
    merged: LlamaForCausalLM = adapted.merge_and_unload().eval()
    return merged


def opened(folder: Path) -> Checkpoint:
    """The same by us."""
    return apply(read_checkpoint(folder / "base", "base"), folder / "adapter")


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"},
        {"r": 8, "use_rslora": True, "target_modules": ["q_proj", "v_proj", "down_proj"]},
        {
            "r": 4,
            "target_modules": r".*\.(o_proj|gate_proj)",
            "rank_pattern": {"o_proj": 2, r"layers\.1\.mlp\.gate_proj": 1},
            "alpha_pattern": {"gate_proj": 3},
        },
        {"r": 2, "target_modules": ["k_proj", "up_proj"], "layers_to_transform": [1]},
        {"r": 2, "target_modules": "all-linear", "exclude_modules": ["mlp.up_proj"]},
    ],
)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("new", [True, False])
def test_weights_and_logits_are_those_that_peft_merges(
    tmp_path: Path, settings: dict[str, Any], *, tied: bool, new: bool
) -> None:
    """With new tokens and without, the head tied and not."""
    theirs = saved(tmp_path, tied=tied, new=new, **settings)
    checkpoint = opened(tmp_path)
    state = theirs.state_dict()
    assert state.keys() - checkpoint.tensors.keys() == ({"lm_head.weight"} if tied else set())
    for name, tensor in checkpoint.tensors.items():
        torch.testing.assert_close(tensor.read(torch.float32), state[name], rtol=0, atol=WEIGHTS)
    ids = IDS if new else [token for token in IDS if token < TOKENS]
    with torch.inference_mode():
        wanted = theirs(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(logits(checkpoint, ids), wanted, rtol=0, atol=LOGITS)


def test_another_base_of_the_rotary_angles_is_taken_over(tmp_path: Path) -> None:
    """It stands in the adapted model's configuration, as transformers writes it."""
    theirs = saved(tmp_path, tied=True, new=True, r=2, target_modules="all-linear")
    theirs.config.rope_parameters = {"rope_type": "default", "rope_theta": 5e4}
    theirs.config.max_position_embeddings = 4096
    theirs.config.save_pretrained(tmp_path / "adapter")
    theirs.model.rotary_emb = type(theirs.model.rotary_emb)(theirs.config)
    checkpoint = opened(tmp_path)
    assert checkpoint.architecture.max_position_embeddings == 4096
    with torch.inference_mode():
        wanted = theirs(torch.tensor([IDS])).logits[0]
    torch.testing.assert_close(logits(checkpoint, IDS), wanted, rtol=0, atol=LOGITS)


def logits(checkpoint: Checkpoint, ids: list[int]) -> torch.Tensor:
    """After each token, (T, V), by our model in fp32."""
    placement = Placement(torch.device("cpu"), torch.float32, "fp32", "")
    model = load_model(checkpoint, placement, lambda _share: None)
    slot = Slot(model.architecture, model.dtype, model.device)
    return model.logits(model.forward(ids, slot))
