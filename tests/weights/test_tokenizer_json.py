"""Which tokenizer.json the engine can take, and the token that it puts in front."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata
from midfill.weights.formats.tokenizer_json import read_bos_id

if TYPE_CHECKING:
    from pathlib import Path

BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
BOS_IN_FRONT = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
BOTH_ENDS = processors.TemplateProcessing(
    single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
)
TWO_IN_FRONT = processors.TemplateProcessing(
    single="<s> </s> $A", special_tokens=[("<s>", 1), ("</s>", 2)]
)
NOTHING_ADDED = processors.TemplateProcessing(single="$A", special_tokens=[])


def written(
    folder: Path,
    *,
    pre_tokenizer: Any = BYTE_LEVEL,
    post_processor: Any = None,
    **changes: object,
) -> Path:
    """A tokenizer.json from the tokenizers library, with changed top-level keys."""
    tokenizer = Tokenizer(models.BPE(vocab={"<unk>": 0, "<s>": 1, "</s>": 2}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizer
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(tokenizer.to_str()) | changes))
    return file


def bos_id(file: Path, **config: object) -> int | None:
    """The id that is put in front, under a config with these keys."""
    return read_bos_id(file, Metadata(file.with_name("config.json"), config))


def test_no_post_processor_adds_nothing(tmp_path: Path) -> None:
    """Even if the config has a BOS id."""
    assert bos_id(written(tmp_path), bos_token_id=1) is None


@pytest.mark.parametrize(
    ("post_processor", "added"),
    [
        (BOS_IN_FRONT, 1),
        (NOTHING_ADDED, None),
        (processors.ByteLevel(trim_offsets=True), None),
        (processors.Sequence([processors.ByteLevel(), BOS_IN_FRONT]), 1),
    ],
)
def test_the_post_processor_says_what_is_in_front(
    tmp_path: Path, post_processor: Any, added: int | None
) -> None:
    """Alone, or as a part of a sequence."""
    assert bos_id(written(tmp_path, post_processor=post_processor)) == added


@pytest.mark.parametrize(("asked", "added"), [(True, 1), (False, None)])
def test_the_tokenizer_config_has_the_last_word(
    tmp_path: Path, added: int | None, *, asked: bool
) -> None:
    """It can switch the token on and off."""
    file = written(tmp_path, post_processor=None if asked else BOS_IN_FRONT)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": asked}))
    assert bos_id(file, bos_token_id=1) == added


def test_a_sequence_of_pre_tokenizers_may_end_in_bytes(tmp_path: Path) -> None:
    """SmolLM splits digits first."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    file = written(tmp_path, pre_tokenizer=pre_tokenizers.Sequence([digits, BYTE_LEVEL]))
    assert bos_id(file) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre_tokenizer": pre_tokenizers.Whitespace()}, "no ByteLevel pre-tokenizer"),
        ({"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)}, "add_prefix_space"),
        ({"post_processor": BOTH_ENDS}, "TemplateProcessing adds more than one token"),
        ({"post_processor": TWO_IN_FRONT}, "TemplateProcessing adds more than one token"),
        (
            {"post_processor": processors.BertProcessing(("</s>", 2), ("<s>", 1))},
            "BertProcessing adds more than one token",
        ),
        ({"normalizer": {"type": "NFC"}}, "its normalizer would change user text"),
        ({"model": {"type": "Unigram"}}, "the model is Unigram"),
        ({"model": {"type": "BPE", "dropout": 0.1}}, "BPE with dropout 0.1"),
    ],
)
def test_what_would_lose_bytes_or_add_tokens_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The joined bytes of the tokens must be the text; nothing comes after it."""
    with pytest.raises(UnsupportedModelError, match=message):
        bos_id(written(tmp_path, **changes))


def test_no_pre_tokenizer_is_refused(tmp_path: Path) -> None:
    """Null, as Unigram files may have it."""
    file = written(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pre_tokenizer": None}))
    with pytest.raises(UnsupportedModelError, match="no ByteLevel"):
        bos_id(file)


@pytest.mark.parametrize("content", ["{}", '{"model": []}'])
def test_another_json_object_is_corrupt(tmp_path: Path, content: str) -> None:
    """The fields are named by the format; none may be missing."""
    file = tmp_path / "tokenizer.json"
    file.write_text(content)
    with pytest.raises(CorruptModelError, match=r"is not a whole tokenizer.json"):
        bos_id(file)
