"""A ``tokenizer.json`` of pieces, as transformers saves it of a SentencePiece model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from code_texts import code_texts
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import code_llama_sentencepiece
from transformers import GemmaTokenizer, LlamaTokenizer

from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata
from midfill.weights.formats.tokenizer.folder import read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 2000


def opened(folder: Path) -> Tokenizer:
    """The tokenizer of a folder whose config names the usual ends."""
    config = Metadata(folder / "config.json", {"bos_token_id": 1, "eos_token_id": 2})
    return open_tokenizer(read_tokenizer(folder, config, ROWS))


@pytest.fixture(scope="module", params=[LlamaTokenizer, GemmaTokenizer])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder that has a ``tokenizer.json`` alone, and what wrote it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "tokenizer.model").write_bytes(code_llama_sentencepiece())
    theirs = request.param.from_pretrained(source)
    theirs.save_pretrained(target)
    assert not (target / "tokenizer.model").exists()
    return target, theirs, opened(target)


@given(text=code_texts() | st.text("ab (){}\n\t\x01é日🙂<", max_size=40))
def test_a_text_has_the_ids_that_transformers_gives_it(saved: Any, text: str) -> None:
    """But for names of special tokens and a typed U+2581, which stay themselves here."""
    _, theirs, ours = saved
    ids = theirs.encode(text, add_special_tokens=False)
    if not ours.special_ids & set(ids) and "\u2581" not in text:
        assert ours.encode(text) == ids


@given(text=code_texts(), longer=st.text(max_size=8))
def test_stable_ids_begin_what_a_longer_text_has(saved: Any, text: str, longer: str) -> None:
    """Merges by rank reach no farther back than those by score."""
    _, _, ours = saved
    ids = ours.encode(text)
    stable = ours.stable_length(text, ids)
    assert ours.encode(text + longer)[:stable] == ids[:stable]


@pytest.mark.parametrize("name", ["<s>", "</s>", "<unk>", "<s>a</s>"])
def test_no_name_of_a_special_token_becomes_one(saved: Any, name: str) -> None:
    """Where the library's own tokenizer would make one of it."""
    _, _, ours = saved
    ids = ours.encode(name)
    assert not ours.special_ids & set(ids)
    assert b"".join(map(ours.token_bytes, ids)).strip() == name.encode()


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("normalizer", {"type": "Lowercase"}, UnsupportedModelError),
        ("pre_tokenizer", {"type": "Whitespace"}, UnsupportedModelError),
        ("model", {"type": "Unigram", "byte_fallback": True}, UnsupportedModelError),
        ("model", None, CorruptModelError),
        ("added_tokens", [{"content": "x"}], CorruptModelError),
    ],
)
def test_what_could_change_the_result_is_refused(
    saved: Any, tmp_path: Path, part: str, value: object, error: type[Exception]
) -> None:
    """By its name, and what is broken as such."""
    document = json.loads((saved[0] / "tokenizer.json").read_text("utf-8"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(document | {part: value}), "utf-8")
    with pytest.raises(error, match=r"tokenizer\.json"):
        opened(tmp_path)
