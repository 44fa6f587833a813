"""Tokens that were added to a ``tokenizer.model``, in each of the files that tell of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tiny_tokenizers import code_llama_sentencepiece

from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata
from midfill.weights.formats.tokenizer.folder import read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

PIECES = len(ModelProto.FromString(code_llama_sentencepiece()).pieces)
ROWS = PIECES + 8
END, WORD = PIECES + 1, PIECES + 2
"""The ids of what is added; the one before them has no token."""


def opened(folder: Path, **files: object) -> Tokenizer:
    """The tokenizer of a folder with these JSON files; ``config`` names the usual ends."""
    (folder / "tokenizer.model").write_bytes(code_llama_sentencepiece())
    for name, document in files.items():
        (folder / f"{name}.json").write_text(json.dumps(document), "utf-8")
    config = Metadata(folder / "config.json", {"bos_token_id": 1, "eos_token_id": 2})
    return open_tokenizer(read_tokenizer(folder, config, ROWS))


def decoder(**flags: bool) -> dict[str, object]:
    """What transformers writes of the two tokens."""
    end = {"content": "<|im_end|>", "special": True}
    return {str(END): end, str(WORD): {"content": "__init__", "special": False} | flags}


FILES = [
    {"tokenizer_config": {"added_tokens_decoder": decoder()}},
    {"added_tokens": {"<|im_end|>": END, "__init__": WORD}},
    {
        "tokenizer": {
            "added_tokens": [
                {"id": END, "content": "<|im_end|>", "special": True},
                {"id": WORD, "content": "__init__", "special": False},
            ]
        }
    },
]


@pytest.mark.parametrize("files", FILES, ids=lambda files: next(iter(files)))
def test_added_tokens_have_their_ids(tmp_path: Path, files: dict[str, object]) -> None:
    """One that steers is never typed, one of text always; the id between has no text."""
    tokenizer = opened(tmp_path, **files)
    assert tokenizer.vocab_size == WORD + 1
    assert tokenizer.special_id("<|im_end|>") == END
    assert {END, PIECES} <= tokenizer.special_ids
    assert END not in tokenizer.encode("<|im_end|>")
    assert WORD in tokenizer.encode("def __init__(self):")
    assert tokenizer.token_bytes(WORD) == b"__init__"


def test_an_end_that_was_added_ends_a_text(tmp_path: Path) -> None:
    """By its name in the tokenizer's settings, or by its id in those of generation."""
    settings = {"added_tokens_decoder": decoder(), "eos_token": "<|im_end|>"}
    assert opened(tmp_path, tokenizer_config=settings).eos_ids == {2, END}
    settings["eos_token"] = {"content": "<|im_end|>"}
    assert opened(tmp_path, tokenizer_config=settings).eos_ids == {2, END}
    del settings["eos_token"]
    assert opened(tmp_path, tokenizer_config=settings).eos_ids == {2}
    generation = {"eos_token_id": [2, END]}
    assert opened(tmp_path, generation_config=generation).eos_ids == {2, END}


def test_what_the_embedding_has_no_row_for_is_left_out(tmp_path: Path) -> None:
    """Nothing could be computed with it."""
    tokenizer = opened(tmp_path, added_tokens={"<|im_end|>": ROWS})
    assert (tokenizer.vocab_size, tokenizer.special_id("<|im_end|>")) == (PIECES, None)


@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens": ["<|im_end|>"]},
        {"added_tokens": {"<|im_end|>": "1"}},
        {"tokenizer_config": {"added_tokens_decoder": {"x": {"content": "y"}}}},
        {"tokenizer_config": {"added_tokens_decoder": {"1": {}}}},
        {"tokenizer": {}},
    ],
)
def test_broken_files_are_corrupt(tmp_path: Path, files: dict[str, object]) -> None:
    """Each with its name in the message."""
    with pytest.raises(CorruptModelError, match=next(iter(files))):
        opened(tmp_path, **files)


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_text_that_takes_blanks_is_refused(tmp_path: Path, flag: str) -> None:
    """Its text would not be that of its ids."""
    files = {"added_tokens_decoder": decoder(**{flag: True})}
    with pytest.raises(UnsupportedModelError, match=f"'__init__' has {flag}"):
        opened(tmp_path, tokenizer_config=files)
