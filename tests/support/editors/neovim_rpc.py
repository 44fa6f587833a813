"""Neovim's remote procedure calls (``:help RPC``), one at a time, over a socket."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from pathlib import Path

REQUEST, RESPONSE = 0, 1


class NeovimError(Exception):
    """Neovim could not do what it was asked."""


class Rpc:
    """A connection.

    Args:
        path: The socket that Neovim listens at.
        limit_s: How long an answer may take.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, path: Path, limit_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")
        self._numbers = itertools.count(1)
        try:
            self._socket.settimeout(limit_s)
            self._socket.connect(str(path))
        except OSError:
            self.close()
            raise

    def call(self, method: str, *arguments: object) -> Any:
        """The result of an API function, without its ``nvim_``.

        Raises:
            NeovimError: the function failed.
            OSError: the connection is gone.
        """
        number = next(self._numbers)
        self._socket.sendall(msgpack.packb((REQUEST, number, f"nvim_{method}", arguments)))
        while True:
            for kind, *message in self._unpacker:
                if kind == RESPONSE and message[0] == number:
                    return _result(*message[1:])
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("nvim has hung up")
            self._unpacker.feed(data)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _result(error: Any, result: Any) -> Any:
    if error is not None:
        raise NeovimError(error[1] if isinstance(error, list) else error)
    return result
