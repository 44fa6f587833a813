"""What a suggestion's record says, for programs and for people."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import INFO, origin, stats

from midfill.engine.api import CompletionRequest, ContextPiece, Priority, Sampling
from midfill.lsp_server.context.look import Skip
from midfill.lsp_server.context.ranking import Provenance
from midfill.lsp_server.request.explanation import Explanation
from midfill.lsp_server.request.origin import Asked, Origin, Source
from midfill.lsp_server.text.lines import LineRange

REQUEST = CompletionRequest(
    "x = ",
    context=(ContextPiece("far.py", "far\n"), ContextPiece("near.py", "near\n")),
    path="src/a.py",
    priority=Priority.TYPING,
)
ASKED = Asked(
    REQUEST,
    (
        Provenance(0.25, ("open",), LineRange(4, 5)),
        Provenance(0.5, ("imported", "neighbour"), None),
    ),
    context_ms=1.25,
)


def explanation(shown: str = "1", written: str = "1\n\n", asked: Asked = ASKED) -> Explanation:
    """The explanation of a completion whose prompt had room for one part only."""
    cost = replace(stats(), context_pieces=1)
    told = Origin("7", Source.GENERATED, asked, INFO)
    return Explanation(told, Source.JOINED, 3, written, shown, cost)


def test_programs_get_every_fact() -> None:
    """The least relevant part comes first in a prompt, and goes first."""
    told = explanation().as_json()
    assert told["context"] == [
        {
            "path": "far.py",
            "firstLine": 5,
            "lastLine": 5,
            "characters": 4,
            "score": 0.25,
            "reasons": ["open"],
            "fitted": False,
        },
        {
            "path": "near.py",
            "firstLine": None,
            "lastLine": None,
            "characters": 5,
            "score": 0.5,
            "reasons": ["imported", "neighbour"],
            "fitted": True,
        },
    ]
    assert (told["itemId"], told["source"], told["text"]) == ("7", "joined", "1")
    assert (told["path"], told["line"], told["cut"]) == ("src/a.py", 3, "\n\n")
    assert (told["priority"], told["scope"], told["contextMs"]) == ("typing", "auto", 1.25)
    assert isinstance(told["stats"], dict)
    assert told["stats"]["finishReason"] == "end_of_middle"


def test_people_get_lines() -> None:
    """Each with a label."""
    assert explanation().as_text() == (
        "where     src/a.py, line 3\n"
        "how       joined, priority typing, scope auto, greedy\n"
        "model     fake (fake) on cpu in fp32\n"
        "prompt    3 tokens, spm: 2 cached, 1 computed; 0 held back by healing\n"
        "context   1 of 2 parts of other files fitted, found in 1.2 ms\n"
        "          far.py:5-5  score 0.25 (open); left out: no room\n"
        "          near.py  score 0.50 (imported, neighbour)\n"
        "written   4 tokens, ended by end_of_middle, mean log probability -0.50\n"
        "time      0 ms waiting, 1 ms reading, 2 ms writing\n"
        "shown     '1'\n"
        "cut       '\\n\\n'\n"
    )


def test_a_short_prompt_is_said_to_be_one() -> None:
    """And why it is."""
    told = replace(explanation(), stats=replace(stats(), is_short=True))
    assert "held back by healing; cut to be read in time\n" in told.as_text()


def test_while_the_model_writes_there_is_no_cost_yet() -> None:
    """Nor does anybody know what fitted."""
    told = replace(explanation(), stats=None)
    assert told.as_json()["stats"] is None
    assert "2 parts of other files" in told.as_text()
    assert "written" not in told.as_text()
    assert "no room" not in told.as_text()


def test_what_was_not_worth_showing_is_cut() -> None:
    """All of it."""
    assert explanation(shown="", written=" \n").cut == " \n"


@pytest.mark.parametrize(("temperature", "words"), [(0.0, "greedy"), (0.8, "temperature 0.8")])
def test_how_tokens_were_chosen_is_told(temperature: float, words: str) -> None:
    """A document without a path has none to tell."""
    request = replace(origin().asked.request, sampling=Sampling(temperature=temperature))
    text = explanation(asked=Asked(request)).as_text()
    assert words in text
    assert "a document without a path" in text


def test_what_was_passed_over_is_told() -> None:
    """Programs and people get it."""
    asked = replace(ASKED, skipped=(Skip("pipe.py", "it is no regular file"),))
    told = explanation(asked=asked)
    assert told.as_json()["skipped"] == [{"what": "pipe.py", "why": "it is no regular file"}]
    assert "skipped   pipe.py: it is no regular file\n" in told.as_text()
