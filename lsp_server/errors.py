"""The one place where exceptions become what a client sees; none of them ends the server.

======================  ==========================  ==============================================
error                   the reply                   besides, in the log and
======================  ==========================  ==============================================
the client's mistake    InvalidParams (-32602)      nowhere
the model, the engine   null                        on the screen, for a completion asked for
anything else           null                        on the screen, for a completion asked for
======================  ==========================  ==============================================

A completion that nobody asked for must stay silent: editors ask at every keystroke, and Neovim
writes each error to the user's log.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from midfill.engine.errors import (
    CorruptModelError,
    EngineClosedError,
    InfillingNotSupportedError,
    InvalidRequestError,
    MidfillError,
    ModelNotAvailableError,
    ModelNotFoundError,
    ModelNotPulledError,
    PullError,
    UnsupportedModelError,
)
from midfill.lsp_server.text.documents import (
    DocumentError,
    OutOfSyncError,
    PositionError,
    UnknownDocumentError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)


class Reply(Enum):
    """What a client gets for a request that failed."""

    NULL = "null"
    INVALID_PARAMS = "invalid params"


REPLIES: dict[type[MidfillError], Reply] = {
    MidfillError: Reply.NULL,
    InvalidRequestError: Reply.NULL,
    InfillingNotSupportedError: Reply.NULL,
    ModelNotAvailableError: Reply.NULL,
    ModelNotFoundError: Reply.NULL,
    ModelNotPulledError: Reply.NULL,
    PullError: Reply.NULL,
    UnsupportedModelError: Reply.NULL,
    CorruptModelError: Reply.NULL,
    EngineClosedError: Reply.NULL,
    DocumentError: Reply.INVALID_PARAMS,
    UnknownDocumentError: Reply.INVALID_PARAMS,
    PositionError: Reply.INVALID_PARAMS,
    OutOfSyncError: Reply.NULL,  # reported when it happened; asking again is no new mistake
}


@contextmanager
def answered(show: Callable[[str], None] | None = None) -> Iterator[None]:
    """End the block at an error, which is logged; the reply then is what stood before.

    Args:
        show: Shows a message to the user; None if the user did not ask for anything.

    Raises:
        JsonRpcInvalidParams: the client made a mistake.
    """
    try:
        yield
    except JsonRpcException:
        raise
    except MidfillError as error:
        _log.warning("%s: %s", type(error).__name__, error)
        if REPLIES[type(error)] is Reply.INVALID_PARAMS:
            raise JsonRpcInvalidParams(str(error)) from error
        if show is not None:
            show(str(error))
    except Exception as error:  # noqa: BLE001 (the boundary: a defect costs a reply only)
        _log.exception("unexpected %s", type(error).__name__)
        if show is not None:
            show(f"midfill failed ({type(error).__name__}: {error}); its log has the details")


@contextmanager
def reported() -> Iterator[None]:
    """End the block at an error, which is logged; for notifications, which have no reply."""
    try:
        with answered():
            yield
    except JsonRpcException:
        return  # logged already
