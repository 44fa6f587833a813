"""Files that somebody broke, by accident or not: a typed error, soon, and nothing else."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_engine import tiny_checkpoint
from tiny_models import write_gguf
from tiny_tokenizers import tiny_tokenizer_json

from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import CorruptModelError, MidfillError
from midfill.weights.formats.config.architecture import read_architecture
from midfill.weights.formats.huggingface_writer import write_checkpoint
from midfill.weights.formats.strict import Metadata, read_json
from midfill.weights.formats.tokenizer.folder import read_json_file

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 10**9, 10**30, 10**400, 1.5, float("nan"), float("inf"), 1e308),
    *("", "\ud800", "a b c", "x" * 10_000, [], [[]], [None], {}, {"": {}}, {"type": "Sequence"}),
)
"""What stands where something else is expected."""
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
    "rope_theta": 1e6,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}
    | {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within a document, but for all tokens after the first few."""
    yield path
    inner = enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in list(value.items())[:12] if isinstance(value, dict) else inner:
        yield from places(item, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place."""
    if not path:
        return value
    changed = document.copy()
    changed[path[0]] = replaced(document[path[0]], path[1:], value)
    return changed


TOKENIZER = json.loads(tiny_tokenizer_json())


@given(path=st.sampled_from(list(places(TOKENIZER))), value=st.sampled_from(HOSTILE))
def test_any_value_anywhere_in_a_tokenizer_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any
) -> None:
    """Huge ids, null, lists where names should be..."""
    file = tmp_path_factory.getbasetemp() / "tokenizer.json"
    file.write_text(json.dumps(replaced(TOKENIZER, path, value)), "utf-8")
    with suppress(MidfillError):
        read_json_file(file, Metadata(Path("config.json"), {}), frozenset({0}))


@given(path=st.sampled_from(list(places(CONFIG))[1:]), value=st.sampled_from(HOSTILE))
def test_any_value_anywhere_in_a_config_is_read_or_refused(
    path: tuple[Any, ...], value: Any
) -> None:
    """As above."""
    with suppress(MidfillError):
        read_architecture(Metadata(Path("config.json"), replaced(CONFIG, path, value)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model."""
    (tmp_path / "model").mkdir()
    checkpoint = tiny_checkpoint()
    write_checkpoint(checkpoint, tmp_path / "model", torch.float32, "", lambda *_: None)
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_json_that_is_nested_too_deeply_is_refused(folder: Path, name: str) -> None:
    """Python's reader gives up somewhere."""
    open_checkpoint(str(folder))
    (folder / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000, "utf-8")
    with pytest.raises(CorruptModelError, match="nested too deeply"):
        open_checkpoint(str(folder))


def test_json_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """It would fill the memory."""
    file = tmp_path / "config.json"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(CorruptModelError, match="more than"):
        read_json(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_pipe_in_a_folder_is_refused(folder: Path, name: str) -> None:
    """Nobody will ever write to it."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CorruptModelError):
        open_checkpoint(str(folder))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    """Whatever its name ends with."""
    os.mkfifo(tmp_path / "model.gguf")
    with pytest.raises(CorruptModelError, match="no plain file"):
        open_checkpoint(str(tmp_path / "model.gguf"))


@pytest.mark.parametrize("layers", [3, 10**6, 10**9])
def test_layers_without_tensors_are_refused_at_once(folder: Path, layers: int) -> None:
    """No table of a billion layers is made to say so."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["num_hidden_layers"] = layers
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(CorruptModelError, match=r"lacks the tensors|only \d+ tensors"):
        open_checkpoint(str(folder))


def test_layers_without_tensors_are_refused_in_gguf_too(tmp_path: Path) -> None:
    """The count is one of the file's keys."""
    write_gguf(tmp_path / "tiny.gguf", keys={"llama.block_count": 10**9})
    with pytest.raises(CorruptModelError, match="only"):
        open_checkpoint(str(tmp_path / "tiny.gguf"))


@pytest.mark.parametrize(("key", "value"), [("eos_token_id", 10**6), ("eos_token_id", [0, 10**9])])
def test_ids_that_the_embedding_has_no_row_for_are_refused(
    folder: Path, key: str, value: object
) -> None:
    """They were an IndexError in the first completion."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config[key] = value
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(CorruptModelError, match=r"ids end at"):
        open_checkpoint(str(folder))
