"""tokenizer.json: read as plain data, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tiny_tokenizers import FIM_MARKERS, tiny_byte_level_vocabulary, tiny_tokenizer_json

from midfill.engine.tokenizer import open_tokenizer
from midfill.engine.tokenizer_huggingface import read_tokenizer_json
from midfill.weights.architecture import HuggingFaceTokenizer
from midfill.weights.errors import CorruptModelError, UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, document: Any) -> HuggingFaceTokenizer:
    """This document as a file, ended by id 0."""
    path = folder / "tokenizer.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return HuggingFaceTokenizer(path, bos_id=None, eos_ids=frozenset({0}))


def changed(**changes: Any) -> dict[str, Any]:
    """The tiny tokenizer's document with other values at the top or in its model."""
    document: dict[str, Any] = json.loads(tiny_tokenizer_json())
    for name, value in changes.items():
        place = document if name in document else document["model"]
        place[name] = value
    return document


@pytest.mark.parametrize("pre_tokenizer", ["smollm", "gpt-2"])
def test_the_file_is_read_as_the_vocabulary_it_holds(tmp_path: Path, pre_tokenizer: str) -> None:
    """Tokens, merges, special ids and the name of the pre-tokenizer."""
    data = written(tmp_path, tiny_tokenizer_json(pre_tokenizer))
    assert read_tokenizer_json(data) == tiny_byte_level_vocabulary(pre_tokenizer)


def test_the_tokenizer_opens_and_encodes(tmp_path: Path) -> None:
    """Through the public door, with markers as plain text."""
    tokenizer = open_tokenizer(written(tmp_path, tiny_tokenizer_json()))
    expected = open_tokenizer(tiny_byte_level_vocabulary())
    text = "def f(x):\n    return '<fim_prefix>'\n"
    assert tokenizer.encode(text) == expected.encode(text)
    assert [tokenizer.special_id(marker) for marker in FIM_MARKERS] == list(range(7))


def test_merges_may_be_strings_as_older_files_have_them(tmp_path: Path) -> None:
    """And such files leave use_regex out of the byte-level step."""
    document = changed()
    merges = [f"{left} {right}" for left, right in document["model"]["merges"]]
    steps = {"type": "Sequence", "pretokenizers": document["pre_tokenizer"]["pretokenizers"]}
    del steps["pretokenizers"][1]["use_regex"]
    data = written(tmp_path, changed(merges=merges, pre_tokenizer=steps))
    assert read_tokenizer_json(data) == tiny_byte_level_vocabulary()


def test_ids_that_no_token_has_are_special(tmp_path: Path) -> None:
    """They add no bytes, so nothing can generate text with them."""
    added = [*changed()["added_tokens"], {"id": 1205, "content": "<late>", "special": False}]
    tokenizer = open_tokenizer(written(tmp_path, changed(added_tokens=added)))
    assert tokenizer.vocab_size == 1206
    assert {1200, 1204, 1205} <= tokenizer.special_ids
    assert tokenizer.special_id("<late>") == 1205


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "Unigram"}, "model type is 'Unigram'"),
        ({"byte_fallback": True}, "byte_fallback is True"),
        ({"ignore_merges": True}, "ignore_merges is True"),
        ({"normalizer": {"type": "NFC"}}, "normalizer is .*NFC"),
        ({"pre_tokenizer": None}, "pre-tokenizer is None"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer is .*Whitespace"),
        ({"added_tokens": [{"id": 9, "content": "    "}]}, "plain text is '    '"),
    ],
)
def test_what_would_encode_differently_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """With the value, and what is known."""
    with pytest.raises(UnsupportedModelError, match=message):
        read_tokenizer_json(written(tmp_path, changed(**changes)))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": {"type": "BPE"}}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    """Not JSON, or not a tokenizer."""
    with pytest.raises(CorruptModelError, match=r"tokenizer\.json cannot be read"):
        read_tokenizer_json(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    data = HuggingFaceTokenizer(tmp_path / "tokenizer.json", None, frozenset())
    with pytest.raises(CorruptModelError, match=r"tokenizer\.json cannot be read"):
        read_tokenizer_json(data)
