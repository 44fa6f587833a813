"""Tokenizers in GGUF: SentencePiece from the lists of its ``tokenizer.model``, rules by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from code_texts import code_texts
from hypothesis import given
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import code_llama_sentencepiece, code_llama_tokenizer_data

from midfill.engine import CompletionRequest, EngineConfig, Order, open_engine
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import CorruptModelError, UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint

MODEL = ModelProto.FromString(code_llama_sentencepiece())
TOKENIZER = open_tokenizer(code_llama_tokenizer_data())
KEYS: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.pre": "default",
    "tokenizer.ggml.tokens": [piece.piece for piece in MODEL.pieces],
    "tokenizer.ggml.scores": [float(piece.score) for piece in MODEL.pieces],
    "tokenizer.ggml.token_type": [piece.type for piece in MODEL.pieces],
    "tokenizer.ggml.merges": None,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.add_space_prefix": None,
}
"""What llama.cpp's converter writes of such a model; an absent space prefix is there."""
ARCHITECTURE = replace(TINY_ARCHITECTURE, vocab_size=len(MODEL.pieces), rope_theta=1e6)


def written(file: Path, **keys: object) -> Checkpoint:
    """A model with these keys, written and opened; ``__`` stands for a dot."""
    changed = {name.replace("__", "."): value for name, value in keys.items()}
    write_gguf(file, architecture=ARCHITECTURE, keys=KEYS | changed)
    return open_checkpoint(str(file))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file with Code Llama's kind of tokenizer."""
    path = tmp_path_factory.mktemp("gguf") / "code-llama.gguf"
    written(path)
    return path


@given(text=code_texts())
def test_a_text_has_the_ids_that_the_original_gives_it(file: Path, text: str) -> None:
    """With the dummy space and without."""
    ours = open_tokenizer(open_checkpoint(str(file)).tokenizer)
    assert ours.encode(text) == TOKENIZER.encode(text)
    assert ours.encode(text, leading_space=False) == TOKENIZER.encode(text, leading_space=False)


def test_control_tokens_and_bytes_are_the_same(file: Path) -> None:
    """Markers too, which are ordinary pieces of Code Llama's model."""
    ours = open_tokenizer(open_checkpoint(str(file)).tokenizer)
    assert (ours.bos_id, ours.eos_ids) == (1, frozenset({2}))
    assert ours.special_ids == TOKENIZER.special_ids
    assert ours.vocab_size == TOKENIZER.vocab_size
    for token_id in range(ours.vocab_size):
        assert ours.token_bytes(token_id) == TOKENIZER.token_bytes(token_id)


def test_such_a_file_infills(file: Path) -> None:
    """In Code Llama's dialect, chosen by its markers."""
    engine = open_engine(EngineConfig(str(file), device="cpu", threads=1))
    assert engine.info.dialect == "codellama"
    request = CompletionRequest("def f(x):\n    ret", "\n", max_tokens=4, order=Order.SPM)
    stats = [chunk.stats for chunk in engine.infill(request)][-1]
    engine.close()
    assert stats is not None
    assert stats.order is Order.SPM


def test_added_tokens_that_steer_are_never_typed(tmp_path: Path) -> None:
    """As those of a chat; fillers without use neither."""
    types, tokens = list(KEYS["tokenizer.ggml.token_type"]), list(KEYS["tokenizer.ggml.tokens"])
    types[-1], tokens[-1] = 4, "<|im_start|>"
    types[-2], tokens[-2] = 5, "[PAD1]"
    lists = {"tokenizer__ggml__tokens": tokens, "tokenizer__ggml__token_type": types}
    tokenizer = open_tokenizer(written(tmp_path / "a.gguf", **lists).tokenizer)
    assert {len(tokens) - 1, len(tokens) - 2} <= tokenizer.special_ids
    assert not {len(tokens) - 1, len(tokens) - 2} & set(tokenizer.encode("<|im_start|>[PAD1]"))


def test_added_tokens_of_plain_text_are_found_first(tmp_path: Path) -> None:
    """Before anything is merged, as in SentencePiece itself."""
    types, tokens = list(KEYS["tokenizer.ggml.token_type"]), list(KEYS["tokenizer.ggml.tokens"])
    types[-1], tokens[-1] = 4, "return None"
    lists = {"tokenizer__ggml__tokens": tokens, "tokenizer__ggml__token_type": types}
    tokenizer = open_tokenizer(written(tmp_path / "a.gguf", **lists).tokenizer)
    assert len(tokens) - 1 in tokenizer.encode("if x:\n    return None\n")
    assert tokenizer.token_bytes(len(tokens) - 1) == b"return None"


def test_a_model_without_a_begin_token_has_none(tmp_path: Path) -> None:
    """Where the file says so; absent, it has one."""
    without = written(tmp_path / "a.gguf", tokenizer__ggml__add_bos_token=False)
    absent = written(tmp_path / "b.gguf", tokenizer__ggml__add_bos_token=None)
    assert (without.tokenizer.bos_id, absent.tokenizer.bos_id) == (None, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer__ggml__scores", [0.0]),
        ("tokenizer__ggml__scores", None),
        ("tokenizer__ggml__token_type", [9] * len(MODEL.pieces)),
        ("tokenizer__ggml__bos_token_id", 10**6),
    ],
)
def test_lists_that_do_not_fit_together_are_corrupt(
    tmp_path: Path, key: str, value: object
) -> None:
    """Named by the file."""
    with pytest.raises(CorruptModelError, match=r"a\.gguf"):
        written(tmp_path / "a.gguf", **{key: value})


@pytest.mark.parametrize("name", ["model.GGUF", "sha256-0123", "model.bin"])
def test_a_file_is_known_by_its_content(file: Path, tmp_path: Path, name: str) -> None:
    """Other programs name theirs by hash, or in capitals."""
    path = tmp_path / name
    path.write_bytes(file.read_bytes())
    assert open_checkpoint(str(path)).architecture.vocab_size == len(MODEL.pieces)


def test_a_folder_with_one_file_is_that_file(file: Path, tmp_path: Path) -> None:
    """Where there are several, one must be named."""
    (tmp_path / "a.gguf").write_bytes(file.read_bytes())
    assert open_checkpoint(str(tmp_path)).path == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").touch()
    with pytest.raises(UnsupportedModelError, match=r"name one: a\.gguf, b\.gguf"):
        open_checkpoint(str(tmp_path))


@pytest.mark.parametrize("rule", ["llama-bpe", "llama3", "llama-v3"])
def test_llama_3_has_a_bos_where_the_file_is_silent(tmp_path: Path, rule: str) -> None:
    """By each of the names that its rule has; what the file says goes before that."""
    file = tmp_path / "llama-3.gguf"
    for said, bos_id in ((None, 1), (False, None), (True, 1)):
        keys = {"tokenizer.ggml.pre": rule, "tokenizer.ggml.bos_token_id": 1}
        write_gguf(file, keys=keys | {"tokenizer.ggml.add_bos_token": said})
        vocabulary = open_checkpoint(str(file)).tokenizer
        assert isinstance(vocabulary, BytePairVocabulary)
        assert (vocabulary.pre_tokenizer, vocabulary.bos_id) == ("llama-bpe", bos_id)
