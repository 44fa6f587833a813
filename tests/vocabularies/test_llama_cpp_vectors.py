"""Real vocabularies of llama.cpp, with its own expected ids; ``make vocabularies`` fetches them.

``MIDFILL_TEST_VOCABULARIES`` names the folder with ``ggml-vocab-*.gguf`` and their ``.inp`` and
``.out`` files (llama.cpp, ``models/``, MIT).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from code_texts import code_texts
from hypothesis import assume, given, settings
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as Reference

from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer
from midfill.weights.architecture import BytePairVocabulary, SentencePieceModel, TokenizerData
from midfill.weights.formats.gguf import read_metadata
from midfill.weights.formats.gguf_vocabulary import read_vocabulary
from midfill.weights.formats.tokenizer.byte_level import to_json

SUPPORTED = (
    *("llama-spm", "phi-3", "qwen2", "qwen35", "llama-bpe"),
    *("gpt-2", "starcoder", "refact"),
    *("deepseek-coder", "deepseek-llm"),
)
BYTE_LEVEL = (
    *("gpt-2", "llama-bpe", "qwen2", "qwen35", "starcoder"),
    *("deepseek-coder", "deepseek-llm"),
)
"""One of each rule."""
SEPARATOR = "\n__ggml_vocab_test__\n"


def vocabulary(name: str) -> TokenizerData:
    """The tokenizer of a file that has nothing else."""
    metadata = read_metadata(folder() / f"ggml-vocab-{name}.gguf")
    return read_vocabulary(metadata, len(metadata.texts("tokenizer.ggml.tokens")))


def folder() -> Path:
    """Where the files are."""
    named = os.environ.get("MIDFILL_TEST_VOCABULARIES")
    if not named:
        pytest.fail("MIDFILL_TEST_VOCABULARIES is not set: run make vocabularies")
    return Path(named)


@pytest.fixture(scope="module", params=SUPPORTED)
def name(request: pytest.FixtureRequest) -> str:
    """Each vocabulary whose kind is supported."""
    return str(request.param)


@pytest.fixture(scope="module")
def tokenizer(name: str) -> Tokenizer:
    """The vocabulary, opened."""
    return open_tokenizer(vocabulary(name))


def test_ids_are_llama_cpps(name: str, tokenizer: Tokenizer) -> None:
    """All texts of its own test."""
    file = folder() / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{file}.inp").read_text("utf-8").split(SEPARATOR)
    lines = Path(f"{file}.out").read_text("utf-8").split("\n")
    expected = [list(map(int, line.split())) for line in lines[: len(texts)]]
    assert len(texts) == len(expected) > 40
    assert [tokenizer.encode(text) for text in texts] == expected


@pytest.fixture(scope="module")
def llama() -> tuple[Tokenizer, SentencePieceProcessor]:
    """Code Llama's base vocabulary, in our tokenizer and in the library."""
    data = vocabulary("llama-spm")
    assert isinstance(data, SentencePieceModel)
    return open_tokenizer(data), SentencePieceProcessor(model_proto=data.serialized)


@settings(max_examples=3000)
@given(text=code_texts(40))
def test_ids_are_sentencepieces(llama: tuple[Tokenizer, SentencePieceProcessor], text: str) -> None:
    """On code; a typed U+2581 is a space to the library, and itself to us."""
    ours, theirs = llama
    assume("\u2581" not in text)
    assert ours.encode(text) == theirs.encode(text)


@pytest.fixture(scope="module", params=BYTE_LEVEL)
def byte_level(request: pytest.FixtureRequest) -> tuple[Tokenizer, Reference]:
    """One of each rule, in our tokenizer and as the file that the library reads."""
    data = vocabulary(request.param)
    assert isinstance(data, BytePairVocabulary)
    return open_tokenizer(data), Reference.from_str(json.dumps(to_json(data)))


@settings(max_examples=3000)
@given(text=code_texts(40))
def test_ids_are_the_librarys(byte_level: tuple[Tokenizer, Reference], text: str) -> None:
    """On code; the name of a special token is that token to the library, and text to us."""
    ours, theirs = byte_level
    ids = theirs.encode(text, add_special_tokens=False).ids
    assume(not ours.special_ids & set(ids))
    assert ours.encode(text) == ids
