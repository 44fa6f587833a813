"""Events without the user's words: nothing of them is left, and positions stay valid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes import writing
from hypothesis import given
from hypothesis import strategies as st
from recorded_session import recorded

from midfill.lsp_server.recording.events import Kind, read_record
from midfill.lsp_server.recording.shapes import Shaper, shape

if TYPE_CHECKING:
    from pathlib import Path


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_shape_is_as_wide_in_each_encoding(text: str) -> None:
    """Line by line."""
    old, new = text.split("\n"), shape(text).split("\n")
    assert len(old) == len(new)
    for one, other in zip(old, new, strict=True):
        assert [i for i, c in enumerate(one) if c == "\r"] == [
            i for i, c in enumerate(other) if c == "\r"
        ]
        for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
            assert len(one.encode(encoding)) == len(other.encode(encoding))
    assert set(shape(text)) <= set("xé€😀\r\n")


def test_halves_of_surrogate_pairs_have_a_shape() -> None:
    """JSON can tell them."""
    assert shape("\ud800a") == "xx"


async def test_no_word_of_a_session_is_in_its_recording(tmp_path: Path) -> None:
    """Whatever a client sends, in its own fields too; the protocol's words are."""
    file = tmp_path / "a"
    folders = [{"uri": "file:///WORD/x", "name": "WORD"}]
    options = {"midfill": {"model": "/WORD/m", "disabledLanguages": ["php"]}, "WORD WORD": "WORD W"}
    root = {"rootUri": "file:///WORD", "rootPath": "/WORD", "workspaceFolders": folders}
    async with recorded(
        file, writing("WORD = 1"), keeps_texts=False, options=options, **root
    ) as it:
        it.client.open("WORD\nWORD = ", uri="file:///WORD/WORD.py")
        await it.client.ready()
        it.client.type("WORD", 1, 7, 2, uri="file:///WORD/WORD.py")
        await it.client.complete(1, 11, uri="file:///WORD/WORD.py")
        it.client.send_raw(b"WORD")
        it.client.notify("other", {"WORD": {"deep": ["WORD"]}, "WORD WORD": 1})
        await it.client.request("midfill/explain", {"itemId": None})
    text = file.read_text(encoding="utf-8")
    kept = [line for line in text.split("\n") if "WORD" in line]
    assert [json.loads(line)["message"]["params"] for line in kept] == [
        {"WORD": {"deep": ["xxxx"]}, "xxxxxxxxx": 1}  # a field's name is no text
    ]
    assert '"php"' in text
    assert ".py" in text
    assert "textDocument/didChange" in text
    asked = [event for event in read_record(file).events if event["kind"] == Kind.ASK]
    assert asked[-1]["request"]["prefix"]["characters"] == len("WORD\nWORD = WORD")


def test_equal_texts_of_a_recording_have_equal_digests_that_tell_nothing() -> None:
    """The key is another one in each recording."""
    event = {"kind": Kind.END, "text": "a", "alternatives": ["a", "b"], "tokens": [1, 2]}
    one, other = Shaper().event(event), Shaper().event(event)
    assert one["text"] == one["alternatives"][0] != one["alternatives"][1]
    assert one["text"] != other["text"]
    assert one["tokens"] == 2


@pytest.mark.parametrize(
    ("uri", "kept"), [("file:///a/b.py", ".py"), ("untitled:Untitled-1", ""), ("file:///a.b/c", "")]
)
def test_a_uri_keeps_scheme_and_suffix(uri: str, kept: str) -> None:
    """They decide how a document is treated."""
    message = {"method": "x", "params": {"textDocument": {"uri": uri}}}
    shaped = Shaper().event({"kind": Kind.IN, "message": message})
    scheme, _, rest = shaped["message"]["params"]["textDocument"]["uri"].partition(":///")
    assert scheme == uri.partition(":")[0]
    assert rest[16:] == kept
