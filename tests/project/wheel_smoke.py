"""Try an installed wheel where the current folder is hostile; ``make wheel`` runs this.

Run by the interpreter of a fresh environment (no pytest there). The folder has ``engine``,
``weights``, ``lsp_server`` and ``midfill`` of its own that raise when they are imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent
MIDFILL = str(BIN / "midfill")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"processId": None, "rootUri": None, "capabilities": {}},
}
SHUTDOWN = {"jsonrpc": "2.0", "id": 2, "method": "shutdown"}
EXIT = {"jsonrpc": "2.0", "method": "exit"}


def lay_traps(folder: Path) -> None:
    """Shadow our names with packages that raise."""
    for name in ("engine", "weights", "lsp_server", "midfill"):
        package = folder / name
        package.mkdir()
        (package / "__init__.py").write_text(
            f"raise RuntimeError('the folder {name} was imported')\n", encoding="utf-8"
        )


def run(folder: Path, *command: str, sent: bytes = b"") -> bytes:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, input=sent, capture_output=True, timeout=60)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout


def framed(message: dict) -> bytes:
    """A message with the header that LSP's base protocol asks for."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def main() -> None:
    """Exit with a message if anything fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_traps(folder)
        trapped = (sys.executable, "-c", "import midfill")
        assert subprocess.run(trapped, cwd=folder, capture_output=True).returncode, "no trap there"
        assert b"infill" in run(folder, MIDFILL, "--help")
        assert b"smollm2-135m" in run(folder, MIDFILL, "models", "list")
        module = (sys.executable, "-P", "-m", "midfill.cli", "--help")
        assert b"infill" in run(folder, *module)
        session = b"".join(map(framed, (INITIALIZE, SHUTDOWN, EXIT)))
        assert b"inlineCompletionProvider" in run(folder, MIDFILL, "lsp", sent=session)
    sys.stdout.write("the wheel works in a hostile folder\n")


if __name__ == "__main__":
    main()
