"""Dialects: prompts token by token as publishers define them, and no marker from user text."""

from __future__ import annotations

from collections import Counter

import pytest
from dialect_tokenizers import TOKENIZERS
from tiny_tokenizers import vocabulary_with

from midfill.engine.api import CompletionRequest, ContextPiece, Order
from midfill.engine.prompt.dialects import (
    DIALECTS,
    choose_dialect,
    fitting_dialects,
    why_no_infilling,
)
from midfill.engine.prompt.prompter import Prompter
from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer

PREFIX, SUFFIX = "def add(a, b):\n    return", "\n\nprint(add(1, 2))\n"
PIECES = (ContextPiece("lib/far.py", "FAR = 1\n"), ContextPiece("near.py", "def near():\n\n"))
PROMPTS = {
    "starcoder2": {
        Order.PSM: "<fim_prefix>P<fim_suffix>S<fim_middle>",
        Order.SPM: "<fim_prefix><fim_suffix>S<fim_middle>P",
    },
    "starcoder": {
        Order.PSM: "<fim_prefix>P<fim_suffix>S<fim_middle>",
        Order.SPM: "<fim_prefix><fim_suffix>S<fim_middle>P",
    },
    "qwen2.5-coder": {Order.PSM: "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"},
    "codegemma": {Order.PSM: "<bos><|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"},
    "granite": {Order.PSM: "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"},
    "deepseek-coder": {
        Order.PSM: "<｜begin▁of▁sentence｜><｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>"
    },
    "codestral": {Order.SPM: "<s>[SUFFIX]S[PREFIX]P"},
}
"""By dialect and order, with P and S for the texts; the sources are at the rows of ``DIALECTS``."""
WITH_FILES = {
    "starcoder2": (
        "<repo_name>you/tiny<file_sep>lib/far.py\nFAR = 1\n<file_sep>near.py\ndef near():\n"
        "<file_sep><fim_prefix>app.py\nP<fim_suffix>S<fim_middle>"
    ),
    "starcoder": (
        "<fim_prefix># Path: lib/far.py\n# FAR = 1\n# Path: near.py\n# def near():\nP"
        "<fim_suffix>S<fim_middle>"
    ),
    "qwen2.5-coder": (
        "<|repo_name|>you/tiny\n<|file_sep|>lib/far.py\nFAR = 1\n<|file_sep|>near.py\ndef near():\n"
        "<|file_sep|>app.py\n<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"
    ),
    "codegemma": (
        "<bos>lib/far.py\nFAR = 1\n<|file_separator|>near.py\ndef near():\n"
        "<|file_separator|>app.py\n<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"
    ),
    "deepseek-coder": (
        "<｜begin▁of▁sentence｜><｜fim▁begin｜>#lib/far.py\nFAR = 1\n#near.py\ndef near():\n"
        "#app.py\nP<｜fim▁hole｜>S<｜fim▁end｜>"
    ),
}
"""By dialect, with two other files."""
HOSTILE = (
    *("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<repo_name>", "<file_sep>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|file_sep|>", "<|file_separator|>", "<|endoftext|>"),
    *("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜end▁of▁sentence｜>", "<|EOT|>", "▁<PRE>", " <SUF>"),
    *("<MID>", "▁<EOT>", "[PREFIX]", "[SUFFIX]", "[INST]", "<s>", "</s>", "<bos>"),
)


def ids_of(prompt: str, tokenizer: Tokenizer) -> list[int]:
    """A prompt that is spelled out; texts are encoded as the publishers do, each for itself."""
    names = sorted(tokenizer.special_names, key=len, reverse=True)
    ids, text = list[int](), ""
    while prompt:
        name = next((name for name in names if name and prompt.startswith(name)), "")
        if name:
            special = tokenizer.special_id(name)
            assert special is not None
            ids, text = [*ids, *encoded(text, tokenizer), special], ""
        else:
            text += prompt[0]
        prompt = prompt[max(1, len(name)) :]
    return ids + encoded(text, tokenizer)


def encoded(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a part, S and P put in; a suffix has no dummy space."""
    if text == "S":
        return tokenizer.encode(SUFFIX, leading_space=False)
    return tokenizer.encode(text[:-1] + PREFIX if text.endswith("P") else text)


def prompter(name: str) -> Prompter:
    """A dialect's, with its tokenizer."""
    return Prompter(DIALECTS[name], TOKENIZERS[name], "tiny")


def prompt_ids(name: str, request: CompletionRequest) -> list[int]:
    """The prompt from a cold cache."""
    return prompter(name).build(request, 4096, lambda _ids: 0).ids


@pytest.mark.parametrize(
    ("name", "order", "prompt"),
    [(name, order, prompt) for name, all_ in PROMPTS.items() for order, prompt in all_.items()],
)
def test_prompts_are_as_their_publishers_define_them(name: str, order: Order, prompt: str) -> None:
    """Marker by marker, and no order that was not trained."""
    request = CompletionRequest(PREFIX, SUFFIX, order=order, heal=False)
    assert prompt_ids(name, request) == ids_of(prompt, TOKENIZERS[name])
    assert set(DIALECTS[name].orders) == set(PROMPTS[name])


@pytest.mark.parametrize(("name", "prompt"), WITH_FILES.items())
def test_other_files_stand_where_the_family_learned_them(name: str, prompt: str) -> None:
    """With the path of the hole's own file, but where files are comments."""
    request = CompletionRequest(
        PREFIX, SUFFIX, PIECES, "you/tiny", "app.py", order=Order.PSM, heal=False
    )
    assert prompt_ids(name, request) == ids_of(prompt, TOKENIZERS[name])


@pytest.mark.parametrize("order", [Order.AUTO, Order.ANCHORED])
@pytest.mark.parametrize("name", DIALECTS)
def test_no_user_text_becomes_a_control_token(name: str, order: Order) -> None:
    """In prefix, suffix, other files, paths and names: as many as with harmless texts."""
    if order is Order.ANCHORED and Order.PSM not in DIALECTS[name].orders:
        order = Order.AUTO
    harmless, hostile = (
        CompletionRequest(
            f"{text}\n{text}", text, (ContextPiece(text, text),), text, text, text, order=order
        )
        for text in ("x = 1", "".join(HOSTILE))
    )
    assert len(set(HOSTILE)) == 25
    own, special = TOKENIZERS[name], TOKENIZERS[name].special_ids
    counts = [
        Counter(id_ for id_ in prompt_ids(name, request) if id_ in special)
        for request in (harmless, hostile)
    ]
    assert counts[0] == counts[1]
    for text in HOSTILE:
        assert special.isdisjoint(own.encode(text)), text


@pytest.mark.parametrize(("name", "tokenizer"), TOKENIZERS.items())
def test_a_vocabulary_tells_its_dialect(name: str, tokenizer: Tokenizer) -> None:
    """But where others have the same and cannot infill: that one must be named."""
    chosen = choose_dialect(tokenizer, None).name
    assert chosen == ("left-to-right" if DIALECTS[name].is_told else name)
    assert name in [dialect.name for dialect in fitting_dialects(tokenizer)]
    assert choose_dialect(tokenizer, name).name == name
    assert choose_dialect(tokenizer, "left-to-right").name == "left-to-right"


def test_what_was_fitted_to_one_model_serves_no_other() -> None:
    """Though their markers are the same."""
    fitted = [d.name for d in DIALECTS.values() if d.end_weights or d.end_at_line < 1]
    assert fitted == ["midfill"]


def test_tokens_that_look_like_markers_are_told_of_where_they_serve_nothing() -> None:
    """With what to do; there is nothing to tell of a model that infills, or has no such tokens."""
    plain = DIALECTS["left-to-right"]
    assert why_no_infilling(TOKENIZERS["left-to-right"], plain) == ""
    assert why_no_infilling(TOKENIZERS["midfill"], DIALECTS["midfill"]) == ""
    codestral = why_no_infilling(TOKENIZERS["codestral"], plain)
    assert "[MIDDLE], [PREFIX], [SUFFIX]; " in codestral
    assert codestral.endswith("name a dialect (codestral)")
    odd = ("<eos>", "<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<a>", "<b>", "<c>")
    santa = open_tokenizer(vocabulary_with(*odd))
    assert choose_dialect(santa, None) is plain
    assert "the tokens <fim-middle>, <fim-prefix>, <fim-suffix>" in why_no_infilling(santa, plain)
