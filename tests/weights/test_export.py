"""An export is there whole, or not at all; what is there already is not overwritten by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tiny_engine import tiny_checkpoint
from tiny_tokenizers import code_llama_tokenizer_data

from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import InvalidRequestError, UnsupportedModelError
from midfill.weights.export import DTYPES, Target, export
from midfill.weights.formats import gguf_writer

if TYPE_CHECKING:
    from pathlib import Path

EVERY = [(kind, dtype) for kind, dtypes in DTYPES.items() for dtype in dtypes]


def silent(_phase: str, _done: int, _total: int) -> None:
    """No progress."""


@pytest.mark.parametrize(("kind", "dtype"), EVERY)
def test_every_format_and_dtype_opens_again(tmp_path: Path, kind: str, dtype: str) -> None:
    """And nothing else is left in the folder."""
    target = Target(tmp_path / ("tiny.gguf" if kind == "gguf" else "tiny"), kind, dtype)
    export(tiny_checkpoint(), target, silent)
    assert open_checkpoint(str(target.path)).name == "tiny"
    assert list(tmp_path.iterdir()) == [target.path]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "onnx"}, "the format is 'onnx'; it must be gguf or safetensors"),
        ({"dtype": "q4_0"}, "the dtype is 'q4_0'; for gguf it must be bf16 or f32 or q8_0"),
        ({"format": "safetensors", "dtype": "q8_0"}, "for safetensors it must be bf16 or f32"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    """The message names what can."""
    target = Target(**{"path": tmp_path / "x", "format": "gguf", "dtype": "bf16"} | fields)
    with pytest.raises(InvalidRequestError, match=message):
        export(tiny_checkpoint(), target, silent)


@pytest.mark.parametrize("kind", DTYPES)
def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path, kind: str) -> None:
    """Then files of the same name are, and others in a folder stay."""
    place = tmp_path / "tiny.gguf"
    if kind == "gguf":
        place.write_bytes(b"mine")
    else:
        place.mkdir()
        (place / "mine.txt").write_bytes(b"mine")
        (place / "config.json").write_bytes(b"mine")
    with pytest.raises(InvalidRequestError, match="is there already; --force replaces it"):
        export(tiny_checkpoint(), Target(place, kind, "bf16"), silent)
    export(tiny_checkpoint(), Target(place, kind, "bf16", overwrite=True), silent)
    open_checkpoint(str(place))
    assert kind == "gguf" or (place / "mine.txt").read_bytes() == b"mine"


@pytest.mark.parametrize(("kind", "other"), [("gguf", "a folder"), ("safetensors", "a file")])
def test_a_place_of_the_other_kind_is_never_replaced(tmp_path: Path, kind: str, other: str) -> None:
    """It was meant for something else."""
    place = tmp_path / "place"
    place.mkdir() if kind == "gguf" else place.write_bytes(b"")
    with pytest.raises(InvalidRequestError, match=f"is {other}; {kind} needs another place"):
        export(tiny_checkpoint(), Target(place, kind, "bf16", overwrite=True), silent)


def test_an_interrupted_export_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the place nor beside it."""

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    write = gguf_writer.write_checkpoint
    monkeypatch.setattr(
        gguf_writer, "write_checkpoint", lambda *arguments: write(*arguments[:-1], interrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        export(tiny_checkpoint(), Target(tmp_path / "tiny.gguf", "gguf", "bf16"), silent)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """The error of the format comes through."""
    checkpoint = tiny_checkpoint(tokenizer=code_llama_tokenizer_data())
    with pytest.raises(UnsupportedModelError, match="SentencePiece"):
        export(checkpoint, Target(tmp_path / "tiny.gguf", "gguf", "bf16"), silent)
    assert list(tmp_path.iterdir()) == []


def test_a_folders_card_has_the_licence_and_the_notes(tmp_path: Path) -> None:
    """In the form that model hubs read."""
    target = Target(tmp_path / "tiny", "safetensors", "bf16", False, "Apache-2.0", "## Scores\n")
    export(tiny_checkpoint(), target, silent)
    card = (target.path / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: transformers\n")
    assert card.endswith("## Scores\n")
    assert "# tiny" in card


def test_an_unknown_licence_is_left_out(tmp_path: Path) -> None:
    """Nobody may guess one."""
    export(tiny_checkpoint(), Target(tmp_path / "tiny", "safetensors", "bf16"), silent)
    assert "license" not in (tmp_path / "tiny" / "README.md").read_text("utf-8")
