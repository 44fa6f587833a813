"""Work that nobody waits for: what goes wrong in it is logged, and ends nothing else."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from midfill.engine.errors import MidfillError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)


@contextmanager
def logged() -> Iterator[None]:
    """End the block at an error, which is logged."""
    try:
        yield
    except MidfillError as error:
        _log.warning("%s: %s", type(error).__name__, error)
    except Exception as error:  # noqa: BLE001 (a boundary: nobody is there to catch it)
        _log.exception("unexpected %s", type(error).__name__)
