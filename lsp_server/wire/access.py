"""Who may speak to a server that listens on a port: whoever knows its token, from this machine.

A client sends the token with its first message::

    {"method": "initialize", "params": {"initializationOptions": {"token": "..."}}}
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OPENING_BYTES = 8
"""Bytes at the start of a connection that tell HTTP from LSP."""

_TOKEN = "token"  # noqa: S105 (the option's name)
_TOKEN_BYTES = 32
_FEWEST_CHARACTERS = 16
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) ")


class TokenFileError(OSError):
    """A file that should hold a token, and holds none."""


def admits(token: str | None, options: object) -> bool:
    """Whether a client with these initialization options may come in; None lets in everybody."""
    if token is None:
        return True
    told = options.get(_TOKEN) if isinstance(options, dict) else None
    if not isinstance(told, str):
        return False
    return hmac.compare_digest(told.encode("utf-8", "surrogatepass"), token.encode())


def without_token(options: object) -> object:
    """Initialization options without what is no setting."""
    if not isinstance(options, dict):
        return options
    return {name: option for name, option in options.items() if name != _TOKEN}


def make_token() -> str:
    """A new token, which nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_in(file: Path) -> str:
    """The token in a file; if there is no file, one with a new token, which only its owner reads.

    Raises:
        TokenFileError: what is in the file is no token.
        OSError: it cannot be read or written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = file.read_text(encoding="utf-8", errors="replace").strip()
        if len(token) >= _FEWEST_CHARACTERS and token.isascii() and token.isprintable():
            return token
        text = f"{file} has no token of {_FEWEST_CHARACTERS} characters or more; delete it"
        raise TokenFileError(text) from None
    token = make_token()
    with os.fdopen(descriptor, "w", encoding="utf-8") as new:
        new.write(f"{token}\n")
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host's name or address.

    Raises:
        OSError: there is no such host.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [str(address[0]).partition("%")[0] for *_, address in found]
    return all(ip_address(address).is_loopback for address in addresses)


def speaks_http(opening: bytes) -> bool:
    """Whether a connection starts as one of HTTP does, which any web page can open."""
    return _HTTP.match(opening) is not None
