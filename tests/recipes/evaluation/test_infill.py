"""Infilling problems through the command, with an engine that writes what a test says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from eval_data import PROBLEMS, write_problems
from fakes import FakeEngine, FakeStream

from midfill import cli
from midfill.engine import FinishReason, Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Script = "Callable[[FakeStream], object]"
MIDDLES = {row["prompt"]: row["canonical_solution"] for row in PROBLEMS}


def write_true_middle(stream: FakeStream) -> None:
    """What stood there."""
    stream.write(MIDDLES[stream.request.prefix]).finish()


def right_if_healed(stream: FakeStream) -> None:
    """Nonsense otherwise."""
    if stream.request.heal:
        write_true_middle(stream)
    else:
        stream.write("@").finish()


class Lab:
    """The command, run on the invented problems."""

    def __init__(self, folder: Path) -> None:
        self.data = write_problems(folder / "problems.jsonl")
        self.out = folder / "results.json"
        self.model = folder / "model.gguf"
        self.model.write_text("weights", encoding="utf-8")

    def run(self, script: Callable[[FakeStream], object], *options: str) -> FakeEngine:
        """The engine that was used, closed; the report is in ``out``."""
        engine = FakeEngine(script)
        words = ["eval", "infill", "--data", str(self.data), "--model", str(self.model)]
        code = cli.main([*words, "--out", str(self.out), *options], lambda *_: engine)
        assert code == 0
        assert engine.is_closed
        return engine

    @property
    def report(self) -> dict[str, Any]:
        """The newest."""
        document: dict[str, Any] = json.loads(self.out.read_text(encoding="utf-8"))
        return document

    def rates(self) -> dict[tuple[str, str], str]:
        """Passed of tried, by place and cell."""
        return {
            (row["place"], row["cell"]): f"{row['pass@1']['count']}/{row['pass@1']['trials']}"
            for row in self.report["cells"]
        }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A fresh one."""
    return Lab(tmp_path)


def test_the_true_middles_pass(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """And match exactly; the table shows it."""
    engine = lab.run(write_true_middle)
    assert lab.rates()["all", "auto, healed"] == "3/3"
    cell = lab.report["cells"][0]
    assert cell["exact_stripped"]["count"] == 3
    assert cell["exact"]["count"] == 2  # at the end of a file, a blank line is not shown
    assert cell["verdicts"] == {"passed": 3}
    assert {request.order for request in engine.requests} == {Order.AUTO}
    assert "| all | auto, healed | 3 | 100.0 % |" in capsys.readouterr().out


def test_cells_are_compared_on_the_same_problems(lab: Lab) -> None:
    """Orders times healing; problems whose cursor cuts a word are counted apart too."""
    lab.run(right_if_healed, "--order", "psm", "spm", "--heal", "on", "off")
    rates = lab.rates()
    assert len(rates) == 3 * 4
    assert rates["all", "spm, healed"] == "3/3"
    assert rates["all", "spm, not healed"] == "0/3"
    assert rates["cursor inside a word", "psm, healed"] == "1/1"
    assert rates["cursor between words", "psm, not healed"] == "0/2"
    pairs = {(p["place"], p["first"], p["second"]): p for p in lab.report["comparisons"]}
    assert len(pairs) == 3 * 6
    compared = pairs["all", "spm, healed", "spm, not healed"]
    assert (compared["only_first"], compared["only_second"], compared["p"]) == (3, 0, 0.25)


def test_a_rerun_asks_only_for_what_is_missing(lab: Lab) -> None:
    """An interrupted run goes on; another model, or another setting, starts anew."""

    def fail_at_the_last(stream: FakeStream) -> None:
        if stream.request.prefix == PROBLEMS[-1]["prompt"]:
            raise KeyboardInterrupt
        write_true_middle(stream)

    engine = FakeEngine(fail_at_the_last)
    words = f"eval infill --data {lab.data} --model {lab.model} --out {lab.out}".split()
    assert cli.main(words, lambda *_: engine) == 130
    assert engine.is_closed
    assert len(lab.run(write_true_middle).requests) == 1
    assert lab.rates()["all", "auto, healed"] == "3/3"
    assert lab.run(write_true_middle).requests == []
    assert len(lab.run(write_true_middle, "--max-tokens", "9").requests) == 3
    lab.model.write_text("other weights", encoding="utf-8")
    assert len(lab.run(write_true_middle).requests) == 3


def test_a_line_end_is_put_back_where_a_stop_rule_took_it(lab: Lab) -> None:
    """The problems count it to the middle; without it, two lines would be one. Not if raw."""

    def write_line(stream: FakeStream) -> None:
        middle = MIDDLES[stream.request.prefix]
        stream.write(middle.rstrip("\n")).finish(FinishReason.LINE)

    lab.run(write_line)
    assert lab.rates()["all", "auto, healed"] == "3/3"
    lab.run(write_line, "--raw")
    assert lab.rates()["all", "auto, healed"] == "2/3"
    assert lab.report["settings"]["post_processing"] == "none"


def test_words_are_cut_on_demand(lab: Lab) -> None:
    """Two of the three problems have a line with a long word."""
    engine = lab.run(right_if_healed_at_cut, "--cut-words", "--heal", "on", "off")
    assert [request.prefix[-1].isalnum() for request in engine.requests] == [True] * 4
    assert lab.rates() == {("all", "auto, healed"): "2/2", ("all", "auto, not healed"): "0/2"}


def right_if_healed_at_cut(stream: FakeStream) -> None:
    """The rest of the line that the prefix has begun."""
    prefix = stream.request.prefix
    start = next(start for start in MIDDLES if prefix.startswith(start) and prefix != start)
    line = MIDDLES[start].removesuffix("\n")
    done = prefix.removeprefix(start)
    stream.write(line.removeprefix(done) if stream.request.heal else "@").finish()


def test_a_limit_draws_problems_by_the_seed(lab: Lab) -> None:
    """The journal serves larger limits later."""
    assert len(lab.run(write_true_middle, "--limit", "1", "--seed", "3").requests) == 1
    assert lab.report["problems"] == 1
    assert len(lab.run(write_true_middle).requests) == 2


def test_the_plot_is_an_image_and_always_the_same(lab: Lab, tmp_path: Path) -> None:
    """Small enough to commit."""
    plots = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for plot in plots:
        lab.run(right_if_healed, "--heal", "on", "off", "--plot", str(plot))
    assert plots[0].read_bytes() == plots[1].read_bytes()
    assert b"<svg" in plots[0].read_bytes()
    assert plots[0].stat().st_size < 100_000


def test_a_plot_that_cannot_be_drawn_is_refused_first(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before hours of work: the engine is never opened."""

    def never(*_: object) -> FakeEngine:
        raise AssertionError

    words = f"eval infill --data {lab.data} --model {lab.model} --plot".split()
    assert cli.main([*words, "x.doc"], never) == 2
    assert "x.doc must end in one of .svg, .png, .pdf" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert cli.main([*words, "x.svg"], never) == 2
    assert "pip install 'midfill[recipes]'" in capsys.readouterr().err


def test_the_report_has_these_keys(lab: Lab) -> None:
    """They are read by others: a change is a new schema."""
    lab.run(write_true_middle, "--heal", "on", "off")
    report = lab.report
    assert report["schema"] == 1
    assert " ".join(report) == (
        "schema eval date engine machine versions settings sandbox problems cells comparisons"
    )
    assert (
        " ".join(report["cells"][0])
        == "place cell pass@1 exact exact_stripped empty finish verdicts orders medians"
    )
    assert (
        " ".join(report["comparisons"][0])
        == "place first second tasks both only_first only_second neither p"
    )
    assert " ".join(report["settings"]) == (
        "data limit seed cut_words scope max_tokens post_processing limits threads "
        "model_hash adapter_hash"
    )
    journal = lab.out.with_suffix(".jsonl").read_text(encoding="utf-8").split("\n")
    assert " ".join(json.loads(journal[0])) == (
        "key task cell completion passed verdict exact exact_stripped finish order "
        "prompt_tokens generated_tokens healed_tokens context_pieces tries prefill_ms "
        "decode_ms test_seconds"
    )
