"""Losses by position against a slow reference, standard errors, texts, keys, and resuming."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_engine import machine, new_slot
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill import cli
from midfill.engine.errors import InvalidRequestError
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.recipes.long_context import perplexity, settings
from midfill.recipes.long_context.keys import Hunt, hide
from midfill.recipes.long_context.perplexity import (
    Bucket,
    boundaries,
    difference,
    loss,
    measure,
    measure_behind,
    token_losses,
)
from midfill.recipes.long_context.texts import read_documents

if TYPE_CHECKING:
    from pathlib import Path

CODE = "def f(x):\n    return x\n\n\n" * 40


def test_losses_are_those_of_a_single_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and rows change nothing; the first token follows the one that starts a text."""
    monkeypatch.setattr(perplexity, "CHUNK", 7)
    monkeypatch.setattr(perplexity, "LOGIT_ROWS", 3)
    parts = machine()
    ids = parts.tokenizer.encode("def f(x):\n    return x\n")
    start = min(parts.tokenizer.eos_ids)
    logits = parts.model.logits(parts.model.forward([start, *ids[:-1]], new_slot()))
    wanted = -torch.log_softmax(logits.double(), -1)[range(len(ids)), ids]
    assert token_losses(parts, ids) == pytest.approx(wanted.numpy(), rel=1e-4)


def test_buckets_hold_every_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their edges double; the last one ends where reading ends."""
    assert boundaries(2000) == [(0, 512), (512, 1024), (1024, 2000)]
    assert boundaries(512) == [(0, 512)]
    assert boundaries(100) == [(0, 100)]
    monkeypatch.setattr(perplexity, "FIRST_BUCKET", 4)
    parts = machine()
    buckets = measure(parts, "def f(x):\n    return x\n", 8)
    ids = parts.tokenizer.encode("def f(x):\n    return x\n")[:8]
    assert [(b.start, b.tokens) for b in buckets] == [(0, 4), (4, 4)]
    assert sum(b.nll for b in buckets) == pytest.approx(float(token_losses(parts, ids).sum()))
    assert sum(b.size for b in buckets) == sum(len(parts.tokenizer.token_bytes(i)) for i in ids)


def test_the_same_tokens_are_read_behind_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All context there is gives the losses of the whole text; none, those of a start."""
    monkeypatch.setattr(perplexity, "TAIL", 4)
    parts, text = machine(), "def f(x):\n    return x\n"
    ids = parts.tokenizer.encode(text)
    (full,) = measure_behind(parts, text, len(ids), len(ids) - 4)
    assert full.nll == pytest.approx(float(token_losses(parts, ids)[-4:].sum()), rel=1e-4)
    (alone,) = measure_behind(parts, text, len(ids), 0)
    assert alone.nll == pytest.approx(float(token_losses(parts, ids[-4:]).sum()), rel=1e-4)
    assert (alone.start, alone.tokens, alone.size) == (0, 4, full.size)
    assert full.nll != pytest.approx(alone.nll, rel=1e-3)
    assert measure_behind(parts, text, len(ids) + 1, 2) == []


def test_figures_are_weighted_by_tokens_and_by_documents() -> None:
    """Two documents: 1 nat a token on 10 tokens, 2 on 30; 2 and 1 bytes a token."""
    found = loss([Bucket(0, 64, 10, 20, 10.0), Bucket(0, 64, 30, 30, 60.0)])
    assert found.perplexity == pytest.approx(math.exp(70 / 40))
    assert found.bits_per_byte == pytest.approx(70 / 50 / math.log(2))
    assert found.mean_bits_per_byte == pytest.approx((0.5 + 2.0) / 2 / math.log(2))
    spread = float(np.std([0.5, 2.0], ddof=1)) / math.sqrt(2) / math.log(2)
    assert found.mean_bits_per_byte_error == pytest.approx(spread)
    assert loss([Bucket(0, 64, 10, 20, 10.0)]).perplexity_error is None


def test_two_models_are_compared_document_by_document() -> None:
    """Negative where the second is better."""
    first, second = Bucket(0, 9, 8, 8, 8.0), Bucket(0, 9, 8, 8, 4.0)
    found = difference([(first, second)] * 3)
    assert found.mean == pytest.approx(-0.5 / math.log(2))
    assert (found.documents, found.second_better) == (3, 3)
    assert found.error == pytest.approx(0.0, abs=1e-12)


def test_documents_are_packages_or_files(tmp_path: Path) -> None:
    """In the order of their paths, from folders and from a corpus."""
    package = tmp_path / "pkg"
    package.mkdir()
    for name in ("b.py", "a.py", "c.txt"):
        (package / name).write_text(f"# {name}\n", encoding="utf-8")
    corpus = tmp_path / "c.jsonl"
    rows = [{"repo": r, "path": p, "text": f"# {r} {p}\n"} for r, p in ("yx", "xy", "xa")]
    rows = [row | {"path": f"{row['path']}.py"} for row in rows]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    joined = read_documents([package, corpus], ".py", separate=False)
    assert [document.name for document in joined] == ["pkg", "x", "y"]
    assert joined[0].text == "# a.py\n\n\n# b.py\n\n\n"
    assert len(read_documents([package, corpus], ".py", separate=True)) == 5
    with pytest.raises(InvalidRequestError, match=r"there is no \.lua text"):
        read_documents([package], ".lua", separate=False)


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_a_key_is_hidden_at_its_depth(depth: float) -> None:
    """Between definitions, within the length, and the question comes last."""
    tokenizer = open_tokenizer(tiny_byte_level_vocabulary())
    hunt = Hunt(400, depth, 0)
    hidden = hide(hunt, tokenizer, CODE, seed=1)
    assert hidden == hide(hunt, tokenizer, CODE, seed=1)
    assert hidden.prompt.endswith("\n\nassert the_key() == ")
    assert hidden.prompt.count(str(hidden.key)) == 1
    place = hidden.prompt.index("def the_key") / len(hidden.prompt)
    assert place == pytest.approx(depth, abs=0.35)
    assert hide(replace(hunt, trial=1), tokenizer, CODE, seed=1).key != hidden.key
    with pytest.raises(InvalidRequestError, match="too short"):
        hide(Hunt(10**6, depth, 0), tokenizer, CODE, seed=1)


def run(folder: Path, *options: str) -> dict[str, Any]:
    """The report of the command on a tiny random model."""
    model = folder / "random.gguf"
    if not model.exists():
        architecture = replace(TINY_ARCHITECTURE, vocab_size=1200, max_position_embeddings=512)
        write_gguf(model, architecture=architecture, vocabulary=tiny_byte_level_vocabulary())
        (folder / "text.py").write_text(CODE, encoding="utf-8")
    words = ["eval", "long", "--model", str(model), "--text", str(folder / "text.py")]
    out = folder / "long.json"
    assert cli.main([*words, "--out", str(out), *options]) == 0
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return report


def test_a_run_reads_seeks_compares_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model against itself differs by nothing; a rerun computes nothing."""
    options = ["--positions", "300", "--keys", "300", "--depths", "0", "1", "--trials", "1"]
    options += ["--against", str(tmp_path / "random.gguf")]
    monkeypatch.setattr(perplexity, "TAIL", 100)
    monkeypatch.setattr(settings, "TAIL", 100)
    options += ["--contexts", "200", "50"]
    options += ["--plot", str(tmp_path / "p.svg"), "--key-plot", str(tmp_path / "k.svg")]
    report = run(tmp_path, *options)
    assert " ".join(report) == "schema eval date engine machine versions settings models difference"
    first, second = report["models"]
    assert first["all"]["tokens"] == 300
    assert first["all"] == second["all"]
    assert [(key["depth"], key["trials"]) for key in first["keys"]] == [(0.0, 1), (1.0, 1)]
    assert report["difference"]["all"]["mean"] == 0.0
    journal = (tmp_path / "long.jsonl").read_bytes()
    assert journal.count(b"\n") == 3 + 2
    assert [(row["context"], row["tokens"]) for row in first["contexts"]] == [(50, 100), (200, 100)]
    assert first["contexts"][0]["change"]["mean"] == 0.0
    assert first["contexts"][1]["change"]["mean"] != 0.0
    assert run(tmp_path, *options)["models"] == report["models"]
    assert (tmp_path / "long.jsonl").read_bytes() == journal
    assert b"<svg" in (tmp_path / "p.svg").read_bytes()
    assert b"<svg" in (tmp_path / "k.svg").read_bytes()


def test_nothing_to_do_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so is a depth outside the text."""
    words = ["eval", "long", "--text", str(tmp_path)]
    assert cli.main([*words, "--positions", "0"]) == 2
    assert "positions is 0" in capsys.readouterr().err
    assert cli.main([*words, "--depths", "2"]) == 2
    assert "each must be 0 to 1" in capsys.readouterr().err
    assert cli.main([*words, "--positions", "600", "--contexts", "100"]) == 2
    assert "each must be 0 to 88" in capsys.readouterr().err
