"""The store of open documents, driven as a client drives it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lsprotocol import types

from midfill.lsp_server.text.documents import (
    Documents,
    OutOfSyncError,
    PositionEncoding,
    UnknownDocumentError,
)
from midfill.lsp_server.text.lines import LineRange

URI = "file:///project/a.py"
characters = st.text(alphabet=st.sampled_from("ab\r\n\n\f\u2028é漢😀"), max_size=30)


def opened(text: str, encoding: PositionEncoding = PositionEncoding.Utf16) -> Documents:
    """A store with one document, version 1."""
    documents = Documents(encoding)
    documents.open(item(text))
    return documents


def item(text: str, uri: str = URI, version: int = 1) -> types.TextDocumentItem:
    """What didOpen brings."""
    return types.TextDocumentItem(
        uri=uri, language_id=types.LanguageKind.Python, version=version, text=text
    )


def partial(
    start: tuple[int, int], end: tuple[int, int], text: str
) -> types.TextDocumentContentChangePartial:
    """An incremental change."""
    return types.TextDocumentContentChangePartial(
        range=types.Range(types.Position(*start), types.Position(*end)), text=text
    )


def whole(text: str) -> types.TextDocumentContentChangeWholeDocument:
    """A full change."""
    return types.TextDocumentContentChangeWholeDocument(text=text)


@given(st.data(), characters, st.sampled_from(list(PositionEncoding)))
def test_a_client_that_sends_its_edits_and_the_server_end_with_the_same_text(
    data: st.DataObject, text: str, encoding: PositionEncoding
) -> None:
    """In any encoding, several changes a notification, whole texts in between."""
    documents = opened(text, encoding)
    for version in range(2, 5):
        changes: list[types.TextDocumentContentChangeEvent] = []
        before = documents.get(URI)
        for _ in range(data.draw(st.integers(0, 3))):
            start = data.draw(st.integers(0, len(text)))
            end = data.draw(st.integers(start, len(text)))
            new = data.draw(characters)
            if data.draw(st.booleans()):
                # The client says where it means by lines and columns of the text so far, which
                # cannot tell the two sides of a line feed that follows a carriage return.
                asked = before.range_of(start, end)
                start, end = before.offset_at(asked.start), before.offset_at(asked.end)
                changes.append(types.TextDocumentContentChangePartial(range=asked, text=new))
                text = text[:start] + new + text[end:]
            else:
                changes.append(whole(new))
                text = new
            before = Documents(encoding).open(item(text))
        snapshot = documents.change(URI, version, changes)
        assert (snapshot.text, snapshot.version) == (text, version)
        assert documents.get(URI) == snapshot


def test_a_snapshot_stays_as_it_was_while_the_document_changes() -> None:
    """Background work may hold on to it."""
    documents = opened("one\n")
    before = documents.get(URI)
    documents.change(URI, 2, [partial((0, 0), (0, 3), "two")])
    assert before.text == "one\n"
    assert documents.get(URI).text == "two\n"


def test_the_language_is_the_plain_id() -> None:
    """The protocol library has an enumeration for those it knows and strings for the others."""
    documents = opened("")
    other = types.TextDocumentItem(uri="x", language_id="zig", version=0, text="")
    assert documents.get(URI).language_id == "python"
    assert documents.open(other).language_id == "zig"


def test_opening_again_takes_the_new_text() -> None:
    """Some clients do that after a revert."""
    documents = opened("old")
    documents.open(item("new", version=7))
    assert documents.get(URI).text == "new"


def test_a_document_that_is_not_open_is_a_typed_error() -> None:
    """For every call; after closing, too."""
    documents = opened("")
    documents.close(URI)
    for call in (documents.get, documents.close):
        with pytest.raises(UnknownDocumentError, match=r"a\.py.*didOpen"):
            call(URI)
    with pytest.raises(UnknownDocumentError):
        documents.change(URI, 2, [])


def test_a_version_that_goes_backwards_is_refused() -> None:
    """A change was lost or came late: our text can no longer be the client's."""
    documents = opened("abc")
    documents.change(URI, 5, [partial((0, 0), (0, 1), "x")])
    with pytest.raises(OutOfSyncError, match="version 4 came after 5"):
        documents.change(URI, 4, [partial((0, 0), (0, 1), "y")])


def test_a_change_that_does_not_fit_blocks_the_document_until_its_whole_text_comes() -> None:
    """Later changes would be made in the wrong place."""
    documents = opened("abc")
    with pytest.raises(OutOfSyncError, match="line 9"):
        documents.change(URI, 2, [partial((0, 0), (0, 1), "x"), partial((9, 0), (9, 0), "y")])
    with pytest.raises(OutOfSyncError, match="line 9"):
        documents.change(URI, 3, [partial((0, 0), (0, 1), "z")])
    with pytest.raises(OutOfSyncError, match="close and open it"):
        documents.get(URI)
    assert documents.others("") == ()
    assert documents.change(URI, 4, [whole("fresh")]).text == "fresh"
    assert documents.get(URI).version == 4


def test_opening_again_also_ends_being_out_of_sync() -> None:
    """The text is whole."""
    documents = opened("abc")
    with pytest.raises(OutOfSyncError):
        documents.change(URI, 2, [partial((9, 0), (9, 0), "y")])
    documents.open(item("abc"))
    assert documents.get(URI).text == "abc"


def test_orders_of_opening_and_of_the_last_edit_are_remembered() -> None:
    """An edit makes a document the youngest; closing takes it out."""
    documents = Documents()
    for name in "abcd":
        documents.open(item("", uri=name))
    for version, name in enumerate("cabc", start=2):
        documents.change(name, version, [partial((0, 0), (0, 0), "x")])

    def ages(uri: str) -> list[tuple[str, int | None]]:
        return [(other.snapshot.uri, other.edit_age) for other in documents.others(uri)]

    assert ages("") == [("a", 2), ("b", 1), ("c", 0), ("d", None)]
    assert ages("c") == [("a", 2), ("b", 1), ("d", None)]
    documents.close("b")
    assert ages("") == [("a", 1), ("c", 0), ("d", None)]


def edited(documents: Documents) -> tuple[LineRange, ...]:
    """Where the only document was edited."""
    (document,) = documents.others("")
    return document.edited


TEN_LINES = "line\n" * 10


def test_edited_lines_move_with_later_edits_above_them() -> None:
    """They are lines of the current text."""
    documents = opened(TEN_LINES)
    documents.change(URI, 2, [partial((7, 0), (7, 4), "seven")])
    documents.change(URI, 3, [partial((1, 0), (1, 0), "new\nnew\n")])
    assert edited(documents) == (LineRange(9, 10), LineRange(1, 4))


def test_edits_that_touch_become_one_range_and_the_latest_stands_last() -> None:
    """Typing a function is one range, not one per keystroke."""
    documents = opened(TEN_LINES)
    documents.change(URI, 2, [partial((8, 0), (8, 0), "x")])
    documents.change(URI, 3, [partial((2, 0), (2, 0), "x")])
    documents.change(URI, 4, [partial((8, 1), (8, 1), "\ny")])
    assert edited(documents) == (LineRange(2, 3), LineRange(8, 10))


def test_deleted_lines_leave_the_range_around_them() -> None:
    """It never has less than the line of the edit."""
    documents = opened(TEN_LINES)
    documents.change(URI, 2, [partial((2, 0), (6, 0), "")])
    assert edited(documents) == (LineRange(2, 3),)


def test_a_whole_text_forgets_where_it_was_edited() -> None:
    """Nobody said where."""
    documents = opened(TEN_LINES)
    documents.change(URI, 2, [partial((2, 0), (2, 0), "x")])
    documents.change(URI, 3, [whole("x")])
    assert edited(documents) == ()


@example([(0, 3, ""), (0, 3, ""), (28, 3, "\r"), (29, 3, "\n")])
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), characters), max_size=30))
def test_edited_lines_stay_inside_the_text_and_few(steps: list[tuple[int, int, str]]) -> None:
    """Whatever happens."""
    documents = opened("x\n" * 40)
    for version, (line, removed, text) in enumerate(steps, start=2):
        snapshot = documents.get(URI)
        first = min(line, snapshot.line_count - 1)
        last = min(first + removed, snapshot.line_count - 1)
        documents.change(URI, version, [partial((first, 0), (last, 0), text)])
        ranges = edited(documents)
        count = documents.get(URI).line_count
        assert len(ranges) <= 8
        assert all(0 <= r.start < r.end <= count for r in ranges)


def test_a_change_without_a_version_makes_the_next_one() -> None:
    """LSP before 3.16 allowed null; the one after it may have a number again."""
    documents = opened("b")
    assert documents.change(URI, None, [partial((0, 0), (0, 0), "a")]).version == 2
    assert documents.change(URI, None, [whole("c")]).version == 3
    assert documents.change(URI, 3, [partial((0, 1), (0, 1), "d")]).text == "cd"


@pytest.mark.parametrize("uri", [URI, None])
def test_a_document_of_which_a_change_was_lost_is_refused_until_its_text_comes(
    uri: str | None,
) -> None:
    """Where nobody knows which document it was, it may be any; the first problem is told."""
    documents = opened("b")
    documents.lose(uri, "no line -1")
    documents.lose(uri, "another")
    for _ in range(2):
        with pytest.raises(OutOfSyncError, match="no line -1"):
            documents.change(URI, 2, [partial((0, 0), (0, 0), "a")])
    with pytest.raises(OutOfSyncError):
        documents.get(URI)
    assert documents.change(URI, 3, [whole("ab")]).text == "ab"
    documents.lose("file:///nobody/opened.py", "no line -1")
    assert documents.get(URI).text == "ab"


def test_positions_have_the_encoding_that_was_agreed_on() -> None:
    """The constructor's, until a client offers others."""
    documents = Documents(PositionEncoding.Utf32)
    assert documents.encoding is PositionEncoding.Utf32
    documents.negotiate([PositionEncoding.Utf8])
    assert documents.encoding is PositionEncoding.Utf8
    assert documents.open(item("é")).encoding is PositionEncoding.Utf8
