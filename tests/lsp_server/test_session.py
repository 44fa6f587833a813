"""One client's session: the engine's state as it sees it, errors, the fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import FakeStream, writing
from lsp_client import INLINE, INVOKED, URI, RpcError
from lsp_lab import item, lab

from midfill.engine.errors import InvalidRequestError, ModelNotPulledError

if TYPE_CHECKING:
    from pathlib import Path

ERROR = 1


# -- the workspace


@pytest.mark.parametrize("has_folders", [True, False])
async def test_other_files_of_the_workspace_come_with_the_request(
    tmp_path: Path, has_folders: bool
) -> None:
    """From the folders, or from the one root that older clients send."""
    (tmp_path / "shapes.py").write_text("def area(shape):\n    return shape.area\n")
    root = {"rootUri": tmp_path.as_uri()}
    folders = {"workspaceFolders": [{"uri": tmp_path.as_uri(), "name": "work"}]}
    uri = (tmp_path / "main.py").as_uri()
    async with lab(writing("z")) as it:
        await it.begin(**(folders if has_folders else root))
        it.client.open("import shapes\n", uri, "python")
        await it.client.complete(1, 0, uri=uri)
        (request,) = it.engine.requests
    assert [piece.path for piece in request.context] == ["shapes.py"]
    assert request.path == "main.py"
    assert request.repo_name == tmp_path.name


async def test_a_saved_file_and_a_new_folder_are_seen(tmp_path: Path) -> None:
    """Without them the context stays as it was, for the engine's cache."""
    uri = (tmp_path / "main.py").as_uri()
    async with lab(writing("z")) as it:
        await it.begin()
        it.client.open("import shapes\n", uri, "python")
        event = {"added": [{"uri": tmp_path.as_uri(), "name": "work"}], "removed": []}
        it.client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
        (tmp_path / "shapes.py").write_text("def area(shape):\n    return shape.area\n")
        await it.client.complete(1, 0, uri=uri)
        (tmp_path / "shapes.py").write_text("def volume(shape):\n    return shape.volume\n")
        for number, line in enumerate(("x", "xx", "xxx"), start=2):
            it.client.change([{"text": f"import shapes\n{line}"}], number, uri)
            if number == 3:
                saved = {"textDocument": {"uri": uri}}
                it.client.notify("textDocument/didSave", saved)
            if number == 4:
                watched = {"changes": [{"uri": uri, "type": 2}]}
                it.client.notify("workspace/didChangeWatchedFiles", watched)
            await it.client.complete(1, len(line), uri=uri)
        names = [request.context[0].text.split("(")[0] for request in it.engine.requests]
    assert names == ["def area", "def area", "def volume", "def volume"]


# -- the engine's state


async def test_the_client_sees_the_model_load() -> None:
    """As a status, and as a progress bar if it can show one."""
    async with lab(writing("z")) as it:
        await it.begin("x", capabilities=INLINE | {"window": {"workDoneProgress": True}})
        await it.client.seen("$/progress", 4)
        assert it.client.asked == ["window/workDoneProgress/create"]
        bar = [params["value"] for params in it.client.all_seen("$/progress")]
        assert [value["kind"] for value in bar] == ["begin", "report", "report", "end"]
        assert [value.get("percentage") for value in bar] == [0, 0, 50, None]
        await it.client.complete(0, 1)
        states = [status["state"] for status in it.client.all_seen("midfill/status")]
        assert states == ["off", "loading", "loading", "ready", "thinking", "ready"]
        assert it.client.all_seen("midfill/status")[2] == {
            "state": "loading",
            "message": "reading weights",
            "model": "midfill-135m",
            "progress": 0.5,
        }


async def test_a_client_may_refuse_the_progress_bar() -> None:
    """Nothing depends on it."""
    async with lab(writing("z")) as it:
        refusal = RpcError({"code": -32601, "message": "no bars here"})
        it.client.answers["window/workDoneProgress/create"] = lambda _: refusal
        await it.begin("x", capabilities=INLINE | {"window": {"workDoneProgress": True}})
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert it.client.all_seen("$/progress") == []


async def test_a_client_may_leave_while_the_model_loads() -> None:
    """Its progress bar is not waited for."""
    async with lab() as it:
        it.may_open.clear()
        await it.client.initialize(capabilities=INLINE | {"window": {"workDoneProgress": True}})
        await it.client.seen("$/progress")
        await it.client.leave()
        await it.client.listening
        it.may_open.set()


async def test_while_the_model_loads_only_who_asks_waits() -> None:
    """And may cancel."""
    async with lab(writing("z")) as it:
        it.may_open.clear()
        await it.client.initialize()
        it.client.open("x")
        await it.client.seen("midfill/status", state="loading")
        assert await it.client.complete(0, 1) is None
        number, cancelled = it.client.ask(0, 1, kind=INVOKED)
        it.client.cancel(number)
        with pytest.raises(RpcError):
            await cancelled
        _, reply = it.client.ask(0, 1, kind=INVOKED)
        await it.client.request("midfill/stats")
        it.may_open.set()
        assert await reply == {"items": [item("z", 0, 1)]}


async def test_a_model_that_is_not_pulled_is_said_once_and_tried_again() -> None:
    """After midfill models pull, a change of the settings or the command is enough."""
    async with lab(writing("z")) as it:
        it.refusal = ModelNotPulledError("run: midfill models pull it")
        await it.client.initialize()
        it.client.open("x")
        status = await it.client.seen("midfill/status", state="error")
        assert status["message"] == "run: midfill models pull it"
        assert await it.client.complete(0, 1) is None
        it.client.notify("workspace/didChangeConfiguration", {"settings": None})
        await it.client.seen("midfill/status", 2, state="error")
        shown = it.client.all_seen("window/showMessage")
        assert shown == [{"type": ERROR, "message": "midfill: run: midfill models pull it"}]
        assert await it.client.complete(0, 1, kind=INVOKED) is None
        assert len(it.client.all_seen("window/showMessage")) == 2
        it.refusal = None
        await it.client.request("workspace/executeCommand", {"command": "midfill.restart"})
        await it.client.ready()
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}


async def test_restart_loads_the_model_again_and_forgets() -> None:
    """The same question goes to the new engine; what is still wrong is said again."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        await it.client.complete(0, 1)
        old = it.engine
        await it.client.request("workspace/executeCommand", {"command": "midfill.restart"})
        await it.client.seen("midfill/status", 3, state="ready")
        assert old.is_closed
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1, item_id="2")]}
        assert len(it.engine.requests) == 1
        for number in (1, 2):
            it.refusal = ModelNotPulledError("pull it")
            await it.client.request("workspace/executeCommand", {"command": "midfill.restart"})
            await it.client.seen("midfill/status", number, state="error")
        assert len(it.client.all_seen("window/showMessage")) == 2


async def test_an_unknown_command_is_an_error() -> None:
    """It names the command."""
    async with lab() as it:
        await it.begin()
        with pytest.raises(RpcError, match=r"midfill\.dance"):
            await it.client.request("workspace/executeCommand", {"command": "midfill.dance"})


# -- errors of the engine


@pytest.mark.parametrize("error", [InvalidRequestError("too long"), ZeroDivisionError("a defect")])
async def test_an_engine_that_raises_costs_one_reply(error: Exception) -> None:
    """Silence for who did not ask; the next request is answered."""
    script = iter([error, error, None])

    def scripted(stream: FakeStream) -> None:
        failure = next(script)
        _ = stream.fail(failure) if failure else stream.write("z").finish()

    async with lab(scripted) as it:
        await it.begin("x")
        assert await it.client.complete(0, 1) is None
        assert it.client.all_seen("window/showMessage") == []
        assert await it.client.complete(0, 1, kind=INVOKED) is None
        (shown,) = it.client.all_seen("window/showMessage")
        assert str(error) in shown["message"]
        assert any(str(error) in m["message"] for m in it.client.all_seen("window/logMessage"))
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1, item_id="3")]}


async def test_an_engine_that_died_is_said_and_restarts_on_command() -> None:
    """Its worker thread ended; the session did not."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        it.engine.close()
        assert await it.client.complete(0, 1) is None
        await it.client.seen("midfill/status", state="error")
        assert len(it.client.all_seen("window/showMessage")) == 1
        assert await it.client.complete(0, 1) is None
        await it.client.request("workspace/executeCommand", {"command": "midfill.restart"})
        await it.client.seen("midfill/status", 2, state="loading", progress=0.0)
        assert await it.client.complete(0, 1, kind=INVOKED) == {
            "items": [item("z", 0, 1, item_id="2")]
        }


# -- clients without inline completion


async def test_the_fallback_is_one_item_that_editors_keep() -> None:
    """It has the word before the cursor, which they filter by, and comes last."""
    async with lab(writing("t(\n    x)")) as it:
        capabilities = await it.begin("a\r\nprin\r\n", capabilities={})
        place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 4}}
        reply = await it.client.request("textDocument/completion", place)
        assert "completionProvider" in capabilities
        assert reply["isIncomplete"]
        (offered,) = reply["items"]
    assert offered == {
        "label": "print(",
        "detail": "midfill",
        "documentation": "print(\r\n    x)",
        "command": {"title": "Accepted", "command": "midfill.accepted", "arguments": ["1"]},
        "preselect": False,
        "sortText": "\uffff",
        "filterText": "print(",
        "insertTextFormat": 1,
        "insertTextMode": 1,
        "textEdit": {
            "range": {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 4}},
            "newText": "print(\r\n    x)",
        },
    }


async def test_the_fallback_starts_at_the_cursor_where_no_word_is() -> None:
    """Blanks are not what editors filter by."""
    async with lab(writing("x + 1")) as it:
        await it.begin("y = ", capabilities={})
        place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}
        (item,) = (await it.client.request("textDocument/completion", place))["items"]
        assert (item["label"], item["textEdit"]["range"]["start"]["character"]) == ("x + 1", 4)


async def test_the_fallback_has_no_answer_where_there_is_none() -> None:
    """A model that loads is nothing to wait for while typing."""
    async with lab(writing("z")) as it:
        it.may_open.clear()
        await it.client.initialize(capabilities={})
        it.client.open("x")
        place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 1}}
        assert await it.client.request("textDocument/completion", place) is None
        it.may_open.set()
