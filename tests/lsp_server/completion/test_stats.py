"""The counters of a session, as they go over the wire."""

from __future__ import annotations

from fakes import stats

from midfill.lsp_server.completion.stats import Stats


def test_the_names_are_in_camel_case_and_the_values_are_plain() -> None:
    """JSON has no enumerations; what did not happen is null."""
    assert Stats().as_json() == {
        "requests": 0,
        "reused": 0,
        "joined": 0,
        "generations": 0,
        "cancelled": 0,
        "prefetches": 0,
        "prefetched": 0,
        "shown": 0,
        "accepted": 0,
        "acceptedCharacters": 0,
        "dismissed": 0,
        "lastCancelMs": None,
        "worstCancelMs": None,
        "last": None,
    }
    last = Stats(last=stats()).as_json()["last"]
    assert isinstance(last, dict)
    assert last["finishReason"] == "end_of_middle"
    assert last["meanLogprob"] == -0.5


def test_the_last_and_the_worst_cancel_are_kept() -> None:
    """In milliseconds."""
    counters = Stats()
    for milliseconds in (3.0, 9.0, 5.0):
        counters.count_cancel(milliseconds)
    assert (counters.cancelled, counters.last_cancel_ms, counters.worst_cancel_ms) == (3, 5.0, 9.0)
