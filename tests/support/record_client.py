"""A server for an editor to start, which keeps its ``initialize`` for ``tests/data/clients``.

``python record_client.py FILE EDITOR VERSION``; what names this machine is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KEPT = ("clientInfo", "capabilities", "initializationOptions", "trace")
"""Not the process, the folders and the locale: they are the machine's."""


def messages() -> Any:
    """What the editor sends, as it comes."""
    while line := sys.stdin.buffer.readline():
        length = 0
        while line.strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            line = sys.stdin.buffer.readline()
        yield json.loads(sys.stdin.buffer.read(length))


def reply(number: Any, result: Any) -> None:
    """Answer a request."""
    body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    sys.stdout.buffer.flush()


def main(file: str, editor: str, version: str) -> None:
    """Keep the first message, answer all others."""
    for message in messages():
        if message.get("method") == "initialize":
            params = {name: value for name, value in message["params"].items() if name in KEPT}
            kept: dict[str, Any] = {"editor": editor, "version": version, "origin": "recorded: "}
            kept["initialize"] = params
            Path(file).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            reply(message["id"], {"capabilities": {"textDocumentSync": 2}})
        elif message.get("method") == "exit":
            return
        elif "id" in message:
            reply(message["id"], None)


if __name__ == "__main__":
    main(*sys.argv[1:])
