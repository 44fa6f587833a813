"""Packed weights on disk: read back bit for bit, for the same files only, and never in the way."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_models import write_gguf

from midfill.engine.kernels import packed_cache, packed_files, quantization
from midfill.engine.kernels.bindings import Arena, load
from midfill.engine.kernels.model import NativeModel
from midfill.engine.kernels.weights import build_native_weights
from midfill.engine.model.kv_cache import Slot
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import CorruptModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from midfill.engine.kernels.weights import NativeWeights
    from midfill.weights.stored import StoredArray


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in which small models are kept too."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.setattr(packed_cache, "LEAST_BYTES", 0)
    return tmp_path / "cache/packed"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small file, all formats mixed."""
    write_gguf(tmp_path / "tiny.gguf", types=("Q8_0", "Q4_1", "F16"))
    return tmp_path / "tiny.gguf"


def opened(model: Path, wanted: str = "auto") -> NativeWeights:
    """As the runtime does it."""
    return build_native_weights(open_checkpoint(str(model)), wanted)


def kept(cache: Path) -> list[Path]:
    """The packed weights there, without their seals."""
    return sorted(cache.glob("*.safetensors"))


def logits(weights: NativeWeights, model: Path) -> torch.Tensor:
    """Logits of some tokens."""
    architecture = open_checkpoint(str(model)).architecture
    native = NativeModel(architecture, torch.bfloat16, weights, 1, load())
    return native.logits(
        native.forward([1, 2, 3], Slot(architecture, torch.bfloat16, native.device))
    )


@pytest.mark.parametrize("wanted", ["auto", "int4"])
def test_a_second_opening_converts_nothing_and_gives_the_same(
    model: Path, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, formats, counts, and what the model computes."""
    first = opened(model, wanted)
    for name in ("quantize", "from_blocks", "pack"):
        monkeypatch.delattr(quantization, name)
    second = opened(model, wanted)
    assert torch.equal(first.arena.used, second.arena.used)
    assert (first.formats, first.parameters) == (second.formats, second.parameters)
    assert torch.equal(logits(first, model), logits(second, model))


def test_each_format_has_a_file_of_its_own(model: Path, cache: Path) -> None:
    """And no opening adds a second one; nobody else may look at them."""
    for wanted in ("auto", "int4", "auto", "int4"):
        opened(model, wanted)
    assert len(kept(cache)) == 2
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in kept(cache)} == {0o600}


def test_a_changed_model_is_converted_again(model: Path, cache: Path) -> None:
    """Though its name and size are the same."""
    before = opened(model).arena.used.clone()
    write_gguf(model, types=("Q4_0", "Q4_1", "F16"))
    os.utime(model, ns=(1, 1))
    assert not torch.equal(opened(model).arena.used, before)
    assert len(kept(cache)) == 2


def test_a_change_of_the_code_that_reads_or_packs_counts_too(model: Path) -> None:
    """A new version never takes over what an old one made wrong."""
    names = {file.name for file in packed_cache.code(open_checkpoint(str(model)))}
    assert names == {"gguf.py", "quantization.py", "weights.py"}


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_broken_file_is_converted_again_and_replaced(
    model: Path, cache: Path, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut anywhere."""
    whole = opened(model).arena.used
    (file,) = kept(cache)
    content = file.read_bytes()
    file.write_bytes(content[:keep])
    assert torch.equal(opened(model).arena.used, whole)
    assert "cannot read the packed weights" in caplog.text
    assert file.read_bytes() == content


def test_a_flipped_bit_is_converted_again(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be garbage on the screen."""
    whole = opened(model).arena.used.clone()
    (file,) = kept(cache)
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    assert torch.equal(opened(model).arena.used, whole)
    assert "it has changed since it was saved" in caplog.text


def test_a_file_that_was_only_touched_is_taken(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash is computed once more, and then not again."""
    opened(model)
    (file,) = kept(cache)
    os.utime(file, ns=(1, 1))
    hashed = list[str]()
    hash_of = packed_cache.sha256_of
    monkeypatch.setattr(
        packed_cache, "sha256_of", lambda path: hashed.append(path.name) or hash_of(path)
    )
    for _ in range(2):
        opened(model)
    assert hashed == [file.name]


@contextmanager
def resealed(file: Path) -> Iterator[list[Any]]:
    """The description of its parts, to be changed; then the file is sealed as if it were right."""
    with safe_open(file, framework="pt") as found:
        parts = json.loads(found.metadata()["parts"])
        tensors = {name: found.get_tensor(name).clone() for name in found.keys()}  # noqa: SIM118
    yield parts
    save_file(tensors, file, {"parts": json.dumps(parts)})
    packed_cache._write_seal(file, packed_cache.sha256_of(file))


@pytest.mark.parametrize(
    ("field", "change", "complaint"),
    [
        ("offset", 1 << 40, "beyond its end"),
        ("offset", -(1 << 40), "beyond its end"),
        ("rows", 16, "other shapes"),
        ("columns", -32, "other shapes"),
    ],
)
def test_what_lies_elsewhere_than_it_may_is_converted_again(
    model: Path,
    cache: Path,
    field: str,
    change: int,
    complaint: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Though somebody sealed it: the kernels would read whatever is there."""
    whole = opened(model).arena.used.clone()
    (file,) = kept(cache)
    with resealed(file) as parts:
        next(part for part in parts if isinstance(part, dict))[field] += change
    assert torch.equal(opened(model).arena.used, whole)
    assert complaint in caplog.text


@pytest.mark.parametrize(
    ("own", "field", "change", "complaint"),
    [
        (-8, "rows", 8, "rows do not fit what stands below them"),
        (0, "columns", -32, "rows do not fit what stands below them"),
        (0, "offset", 1 << 40, "beyond its end"),
    ],
)
def test_what_stands_below_in_another_form_has_to_fit(
    model: Path,
    cache: Path,
    own: int,
    field: str,
    change: int,
    complaint: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Queries, keys and values here, of which each has a type of its own."""
    whole = opened(model).arena.used.clone()
    (file,) = kept(cache)
    with resealed(file) as parts:
        part = next(part for part in parts if isinstance(part, dict) and part["rest"])
        part["rows"] += own
        part["rest"][field] += change
    assert torch.equal(opened(model).arena.used, whole)
    assert complaint in caplog.text


def test_a_file_that_is_cut_while_it_is_taken_is_an_error(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends nothing; the next opening converts the model again."""
    whole = opened(model).arena.used.clone()
    (file,) = kept(cache)
    fill = Arena.fill

    def cut_and_fill(arena: Arena, content: StoredArray) -> None:
        os.truncate(file, 64)
        fill(arena, content)

    with monkeypatch.context() as patch:
        patch.setattr(Arena, "fill", cut_and_fill)
        with pytest.raises(CorruptModelError, match="changed while it was read"):
            opened(model)
    assert torch.equal(opened(model).arena.used, whole)


def test_what_others_can_write_is_not_read(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither weights nor seal."""
    opened(model)
    (file,) = kept(cache)
    for writable in (file, file.with_suffix(".json")):
        writable.chmod(0o666)
        opened(model)
        assert "not this user's own alone" in caplog.text
        caplog.clear()
        assert not writable.stat().st_mode & 0o022


def test_a_cache_that_cannot_be_written_does_no_harm(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a file here."""
    cache.parent.mkdir()
    cache.write_text("in the way", encoding="utf-8")
    opened(model)
    assert "cannot keep the packed weights" in caplog.text


def test_the_oldest_files_go(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those not used for the longest time."""
    monkeypatch.setattr(packed_files, "KEPT", 1)
    opened(model)
    (first,) = kept(cache)
    os.utime(first.with_suffix(".json"), ns=(1, 1))
    opened(model, "int4")
    (second,) = kept(cache)
    assert second != first
    assert len(list(cache.iterdir())) == 2


def test_small_models_are_not_kept(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converting them costs nothing."""
    monkeypatch.setattr(packed_cache, "LEAST_BYTES", 1 << 30)
    opened(model)
    assert not cache.exists()


def test_what_the_disk_has_no_room_for_is_not_kept(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More than all files may take, and more than half of what is free; the log says why."""
    monkeypatch.setattr(packed_files, "MOST_BYTES", 10)
    opened(model)
    assert "are kept at most" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(cache.parent))
    monkeypatch.setattr(packed_cache, "LEAST_BYTES", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    opened(model)
    assert "the disk has only" in caplog.text
    assert kept(cache) == []


def test_what_was_left_unfinished_goes(model: Path, cache: Path) -> None:
    """By a process that was ended while it wrote; not what is being written now."""
    for name, seconds in (("old", 1), ("new", 1 << 40)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (seconds, seconds))
    opened(model)
    assert [each.name for each in cache.iterdir() if each.is_dir()] == ["new"]
