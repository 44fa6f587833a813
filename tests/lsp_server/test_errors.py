"""Every error has a reply, and none of them gets past the boundary."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from pygls.exceptions import JsonRpcInvalidParams, JsonRpcRequestCancelled

import midfill.lsp_server.server
from midfill.engine.errors import MidfillError, ModelNotPulledError
from midfill.lsp_server.errors import REPLIES, answered, reported
from midfill.lsp_server.text.documents import OutOfSyncError, PositionError

if TYPE_CHECKING:
    from collections.abc import Iterator

assert midfill.lsp_server.server  # imported for the errors that its modules define


def all_errors(base: type[MidfillError] = MidfillError) -> Iterator[type[MidfillError]]:
    """The class and all of its subclasses in midfill; no recipe runs inside the server."""
    if base.__module__.startswith("midfill.") and ".recipes." not in base.__module__:
        yield base
    for error in base.__subclasses__():
        yield from all_errors(error)


def test_every_error_of_midfill_has_a_reply() -> None:
    """A new error is a decision about what the client sees."""
    assert set(REPLIES) == set(all_errors())


def test_an_error_of_the_engine_is_logged_and_shown_to_who_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reply is what stood before the block."""
    shown: list[str] = []
    with answered(shown.append):
        raise ModelNotPulledError("pull it")
    assert shown == ["pull it"]
    assert "ModelNotPulledError: pull it" in caplog.text


def test_who_did_not_ask_is_not_bothered(caplog: pytest.LogCaptureFixture) -> None:
    """The log has it all the same."""
    with answered():
        raise ModelNotPulledError("pull it")
    assert "pull it" in caplog.text


def test_a_mistake_of_the_client_is_an_error_reply() -> None:
    """Its author must see it."""
    with pytest.raises(JsonRpcInvalidParams, match="no such line"), answered():
        raise PositionError("no such line")


def test_asking_about_a_document_out_of_sync_is_no_new_mistake() -> None:
    """It was logged when it happened; editors ask at every keystroke."""
    with answered():
        raise OutOfSyncError("send it again")


def test_a_defect_is_logged_with_its_traceback_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It costs one reply."""
    shown: list[str] = []
    with answered(shown.append):
        raise ZeroDivisionError("oops")
    assert "Traceback" in caplog.text
    assert shown == ["midfill failed (ZeroDivisionError: oops); its log has the details"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_error_made_for_the_client_passes() -> None:
    """Its code and message are what somebody chose."""
    with pytest.raises(JsonRpcRequestCancelled), answered():
        raise JsonRpcRequestCancelled


def test_a_notification_gets_no_reply_at_all(caplog: pytest.LogCaptureFixture) -> None:
    """But the mistake is in the log."""
    with reported():
        raise PositionError("no such line")
    assert "no such line" in caplog.text


def test_leaving_the_process_is_not_an_error() -> None:
    """The boundary is for errors only."""
    with pytest.raises(SystemExit), answered():
        raise SystemExit(3)
