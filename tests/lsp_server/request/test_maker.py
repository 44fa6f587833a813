"""From a place to the engine's request: what goes in, and where files are read."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from lsprotocol import types

from midfill.engine.api import Priority
from midfill.lsp_server.context.gatherer import ContextGatherer
from midfill.lsp_server.request.maker import RequestMaker
from midfill.lsp_server.request.place import Ask, Place
from midfill.lsp_server.settings import ContextSettings, Settings
from midfill.lsp_server.text.documents import Documents, Edit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with one file to be read as context."""
    (tmp_path / "shapes.py").write_text("def area(shape):\n    return shape.area\n")
    return tmp_path


@contextmanager
def maker(documents: Documents | None = None) -> Iterator[RequestMaker]:
    """A maker whose thread ends."""
    made = RequestMaker(documents or Documents())
    yield made
    made.close()


def place(folder: Path, text: str = "import shapes\n", **ask: object) -> Place:
    """The end of a document."""
    uri = (folder / "main.py").as_uri()
    snapshot = Documents().open(types.TextDocumentItem(uri, "python", 1, text))
    return Place(replace(Ask(snapshot, len(text)), **ask))  # type: ignore[arg-type]


async def test_who_asks_goes_before_who_types(folder: Path) -> None:
    """The trigger decides the priority."""
    with maker() as it:
        assert (await it.make(place(folder))).request.priority is Priority.TYPING
        invoked = await it.make(place(folder, is_invoked=True))
        assert invoked.request.priority is Priority.INVOKED


async def test_settings_and_folders_decide_what_is_asked(folder: Path) -> None:
    """From the next request on."""
    with maker() as it:
        assert (await it.make(place(folder))).request.context == ()
        it.configure(Settings(), [folder])
        assert [piece.path for piece in (await it.make(place(folder))).request.context] == [
            "shapes.py"
        ]
        it.configure(Settings(context=ContextSettings(enabled=False)), [folder])
        assert (await it.make(place(folder))).request.context == ()


async def test_the_popups_selection_counts_as_typed(folder: Path) -> None:
    """The model goes on after it."""
    with maker() as it:
        selected = Edit(3, 5, "path")
        request = (await it.make(place(folder, "os.pa", selected=selected))).request
        assert request.prefix == "os.path"


async def test_the_cache_is_filled_with_what_later_requests_start_with(folder: Path) -> None:
    """The same context, and a prefix that theirs share, up to the cursor."""
    text = "import shapes\n" + "x = shapes.area(x)\n" * 50
    spot = place(folder, text)
    with maker() as it:
        it.configure(Settings(), [folder])
        prewarm = await it.make_prewarm(spot.snapshot)
        for offset in (0, len(text) // 2, len(text)):
            request = (await it.make(Place(Ask(spot.snapshot, offset)))).request
            assert request.context == prewarm.context != ()
            assert prewarm.prefix.startswith(request.prefix)
            assert request.document == prewarm.document
    assert (prewarm.priority, prewarm.max_tokens) == (Priority.PREWARM, 0)
    assert prewarm.suffix == ""


async def test_files_are_read_in_a_thread_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk does not hold up the messages."""
    may_read, threads = threading.Event(), set()
    gather = ContextGatherer.gather

    def slow(*arguments: object) -> object:
        threads.add(threading.current_thread())
        may_read.wait()
        return gather(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ContextGatherer, "gather", slow)
    with maker() as it:
        it.configure(Settings(), [folder])
        requests = [asyncio.create_task(it.make(place(folder))) for _ in range(3)]
        await asyncio.sleep(0)
        may_read.set()
        assert all([(await request).request.context for request in requests])
    assert len(threads) == 1
    assert threading.current_thread() not in threads
