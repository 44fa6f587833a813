"""An editor with a workspace, for tests of the context of completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from midfill.lsp_server.context.gatherer import ContextGatherer, Gathered
from midfill.lsp_server.settings import ContextSettings
from midfill.lsp_server.text.documents import Documents, Snapshot
from midfill.lsp_server.text.located import Hole, Located

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.api import ContextPiece

SETTINGS = ContextSettings()
MAIN = "from store import Store\n\n\ndef main():\n    store = Store()\n    store.\n"
STORE = "class Store:\n    def get(self, key):\n        return self.main[key]\n"
HELP = "def main_help():\n    store = None\n    return main, store\n"
VIEW = "def view(store):\n    return main(store)\n"


class Editor:
    """A client with a workspace: it opens documents, types in them, asks for context."""

    def __init__(self, root: Path, settings: ContextSettings = SETTINGS) -> None:
        self.root = root
        self.documents = Documents()
        self.now = 0.0
        self.step = 0.0
        self.gatherer = ContextGatherer([root], settings, self._clock)

    def _clock(self) -> float:
        self.now += self.step
        return self.now

    def uri(self, name: str) -> str:
        """The URI of a file of the workspace, or a URI as it is."""
        return name if ":" in name else (self.root / name).as_uri()

    def write(self, name: str, text: str) -> None:
        """On disk."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def open(self, name: str, text: str, language_id: str = "python") -> Snapshot:
        """In the editor only."""
        uri = self.uri(name)
        return self.documents.open(types.TextDocumentItem(uri, language_id, 1, text))

    def insert(self, name: str, line: int, text: str) -> None:
        """At the end of a line."""
        snapshot = self.documents.get(self.uri(name))
        end = snapshot.position_at(snapshot.line_end(line))
        change = types.TextDocumentContentChangePartial(range=types.Range(end, end), text=text)
        self.documents.change(snapshot.uri, snapshot.version + 1, [change])

    def context(self, name: str, line: int = 0) -> tuple[ContextPiece, ...]:
        """For a completion at the end of a line."""
        return self.gathered(name, line).pieces

    def gathered(self, name: str, line: int = 0) -> Gathered:
        """The same, with its provenance."""
        snapshot = self.documents.get(self.uri(name))
        others = self.documents.others(snapshot.uri)
        return self.gatherer.gather(self.located(snapshot, snapshot.line_end(line)), others)

    def located(self, snapshot: Snapshot, offset: int) -> Located:
        """A place in a document."""
        hole = Hole.of(snapshot.text, offset, offset)
        return Located.of(snapshot, offset, hole, [self.root])

    def paths(self, name: str, line: int = 0) -> list[str]:
        """Paths of the context's pieces, the least relevant first."""
        return [piece.path for piece in self.context(name, line)]
