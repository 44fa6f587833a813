"""tokenizer.json: read as plain data with the token that it puts in front, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tiny_tokenizers import tiny_byte_level_vocabulary, tiny_tokenizer_json
from tokenizers import Tokenizer, processors

from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata
from midfill.weights.formats.tokenizer.folder import read_json_file
from midfill.weights.formats.tokenizer.splits import PRE_TOKENIZERS

if TYPE_CHECKING:
    from pathlib import Path

BOS_IN_FRONT = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
BOTH_ENDS = processors.TemplateProcessing(
    single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
)
TWO_IN_FRONT = processors.TemplateProcessing(
    single="<s> </s> $A", special_tokens=[("<s>", 1), ("</s>", 2)]
)
NOTHING_ADDED = processors.TemplateProcessing(single="$A", special_tokens=[])


def changed(document: str | None = None, **changes: object) -> dict[str, Any]:
    """The tiny tokenizer's document with other values at the top or in its model."""
    values: dict[str, Any] = json.loads(document or tiny_tokenizer_json())
    for name, value in changes.items():
        place = values if name in values else values["model"]
        place[name] = value
    return values


def with_post_processor(post_processor: Any) -> dict[str, Any]:
    """The tiny tokenizer's document with this, as the library writes it; None for none."""
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json())
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    return changed(tokenizer.to_str())


def read(folder: Path, document: Any, **config: object) -> BytePairVocabulary:
    """This document as a file, read under a config with these keys, ended by id 0."""
    file = folder / "tokenizer.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    data = read_json_file(file, Metadata(folder / "config.json", config), frozenset({0}))
    assert isinstance(data, BytePairVocabulary)
    return data


@pytest.mark.parametrize("pre_tokenizer", sorted(PRE_TOKENIZERS))
def test_the_file_is_read_as_the_vocabulary_it_holds(tmp_path: Path, pre_tokenizer: str) -> None:
    """Tokens, merges, special ids and the name of each pre-tokenizer that there is."""
    vocabulary = read(tmp_path, tiny_tokenizer_json(pre_tokenizer))
    assert vocabulary == tiny_byte_level_vocabulary(pre_tokenizer)


def test_merges_may_be_strings_as_older_files_have_them(tmp_path: Path) -> None:
    """And such files leave use_regex out of the byte-level step."""
    document = changed()
    merges = [f"{left} {right}" for left, right in document["model"]["merges"]]
    steps = document["pre_tokenizer"]
    del steps["pretokenizers"][1]["use_regex"]
    vocabulary = read(tmp_path, changed(merges=merges, pre_tokenizer=steps))
    assert vocabulary == tiny_byte_level_vocabulary()


def test_ids_that_no_token_has_are_special(tmp_path: Path) -> None:
    """They add no bytes, so nothing can generate text with them."""
    added = [*changed()["added_tokens"], {"id": 1205, "content": "<late>", "special": False}]
    vocabulary = read(tmp_path, changed(added_tokens=added))
    assert vocabulary.tokens[1200:] == ("", "", "", "", "", "<late>")
    assert vocabulary.special == {*range(7), *range(1200, 1206)}


def test_an_added_character_is_text_as_it_is(tmp_path: Path) -> None:
    """DeepSeek has some; what is longer is refused."""
    added = [*changed()["added_tokens"], {"id": 1200, "content": "ö", "special": False}]
    vocabulary = read(tmp_path, changed(added_tokens=added))
    assert (vocabulary.tokens[1200], vocabulary.whole_characters) == ("ö", {1200})
    assert 1200 not in vocabulary.special


def test_a_sequence_of_no_normalizers_is_none(tmp_path: Path) -> None:
    """DeepSeek's file has one."""
    read(tmp_path, changed(normalizer={"type": "Sequence", "normalizers": []}))


def test_no_post_processor_adds_nothing(tmp_path: Path) -> None:
    """Even if the config has a BOS id."""
    assert read(tmp_path, tiny_tokenizer_json(), bos_token_id=1).bos_id is None


def test_the_config_says_which_token_is_in_front(tmp_path: Path) -> None:
    """The post-processor only says that there is one."""
    assert read(tmp_path, with_post_processor(BOS_IN_FRONT), bos_token_id=2).bos_id == 2


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
    assert read(tmp_path, with_post_processor(post_processor)).bos_id == added


@pytest.mark.parametrize(("asked", "added"), [(True, 1), (False, None)])
def test_the_tokenizer_config_has_the_last_word(
    tmp_path: Path, added: int | None, *, asked: bool
) -> None:
    """It can switch the token on and off."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": asked}))
    document = with_post_processor(None if asked else BOS_IN_FRONT)
    assert read(tmp_path, document, bos_token_id=1).bos_id == added


@pytest.mark.parametrize(
    "post_processor",
    [BOTH_ENDS, TWO_IN_FRONT, processors.BertProcessing(("</s>", 2), ("<s>", 1))],
)
def test_other_tokens_than_one_in_front_are_refused(tmp_path: Path, post_processor: Any) -> None:
    """Nothing comes after the text."""
    with pytest.raises(UnsupportedModelError, match="Processing adds more than one token"):
        read(tmp_path, with_post_processor(post_processor))


def test_llama_3_without_its_way_of_merging_is_refused(tmp_path: Path) -> None:
    """Its words that are tokens stay whole; a file that does not say so is of another model."""
    document = json.loads(tiny_tokenizer_json("llama-bpe"))
    document["model"]["ignore_merges"] = False
    with pytest.raises(UnsupportedModelError, match="ignore_merges is False; it must be True"):
        read(tmp_path, document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "Unigram"}, "model's type is 'Unigram'; it must be 'BPE'"),
        ({"type": None}, "model's type is None"),
        ({"dropout": 0.1}, "dropout is 0.1"),
        ({"continuing_subword_prefix": "##"}, "continuing_subword_prefix is '##'"),
        ({"end_of_word_suffix": "</w>"}, "end_of_word_suffix is '</w>'"),
        ({"ignore_merges": True}, "ignore_merges is True"),
        ({"normalizer": {"type": "NFC"}}, "normalizer is .*NFC"),
        ({"pre_tokenizer": None}, "pre-tokenizer is None"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer is .*Whitespace"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "_space': True"),
        ({"added_tokens": [{"id": 9, "content": "    "}]}, "plain text is '    '"),
    ],
)
def test_what_would_encode_differently_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """With the value, and what is known."""
    with pytest.raises(UnsupportedModelError, match=message):
        read(tmp_path, changed(**changes))


@pytest.mark.parametrize("missing", ["normalizer", "pre_tokenizer", "post_processor", "model"])
def test_a_file_without_one_of_its_fields_is_corrupt(tmp_path: Path, missing: str) -> None:
    """The fields are named by the format; none may be missing."""
    document = changed()
    del document[missing]
    with pytest.raises(CorruptModelError, match=rf"not a whole tokenizer\.json .*{missing}"):
        read(tmp_path, document)


@pytest.mark.parametrize(
    "changes",
    [{"model": []}, {"merges": ["a b c"]}, {"merges": None}, {"vocab": {}, "added_tokens": []}],
)
def test_a_field_of_another_kind_is_corrupt(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A merge is of two tokens, and there is a token at least."""
    with pytest.raises(CorruptModelError, match=r"not a whole tokenizer\.json"):
        read(tmp_path, changed(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_another_file_is_corrupt(tmp_path: Path, text: str) -> None:
    """The path is in the message."""
    with pytest.raises(CorruptModelError, match=r"tokenizer\.json (is not JSON|holds)"):
        read(tmp_path, text)
