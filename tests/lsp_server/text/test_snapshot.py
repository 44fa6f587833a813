"""Positions, offsets and edits: every answer is compared with a slow, obvious model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder

from midfill.lsp_server.text.snapshot import (
    Edit,
    PositionEncoding,
    PositionError,
    Snapshot,
    negotiate,
)

CODECS = {
    PositionEncoding.Utf8: ("utf-8", 1),
    PositionEncoding.Utf16: ("utf-16-le", 2),
    PositionEncoding.Utf32: ("utf-32-le", 4),
}
UTF16 = PositionEncoding.Utf16

texts = st.text(
    alphabet=st.sampled_from("ab \t\r\n\r\n\r\n\f\v\x1c\x85\u2028\u2029éß漢😀𐐀\ud83d\u0301"),
    max_size=40,
)
encodings = st.sampled_from(list(PositionEncoding))


def units(text: str, encoding: PositionEncoding) -> int:
    """Code units, by the codec."""
    codec, size = CODECS[encoding]
    return len(text.encode(codec, "surrogatepass")) // size


def lines_of(text: str) -> list[str]:
    """Lines with their ends, character by character."""
    lines, line = [], ""
    for index, character in enumerate(text):
        line += character
        if character == "\n" or (character == "\r" and text[index + 1 : index + 2] != "\n"):
            lines.append(line)
            line = ""
    return [*lines, line]


def body(line: str) -> str:
    """A line without its end."""
    return line.rstrip("\r\n")


@st.composite
def edits(draw: st.DrawFn, text: str) -> Edit:
    """Any replacement of any stretch, inside of a line end too."""
    start = draw(st.integers(0, len(text)))
    return Edit(start, draw(st.integers(start, len(text))), draw(texts))


@given(texts)
def test_lines_end_only_where_lsp_says_so(text: str) -> None:
    """Form feed, U+2028 and the like do not end a line."""
    snapshot = Snapshot.of(text)
    lines = lines_of(text)
    assert snapshot.line_count == len(lines)
    for number, line in enumerate(lines):
        start, end = snapshot.line_start(number), snapshot.line_end(number)
        assert text[start:end] == body(line)
        assert all(snapshot.line_of(start + i) == number for i in range(len(line)))


@given(texts, encodings)
def test_every_position_has_the_offset_that_counting_gives(
    text: str, encoding: PositionEncoding
) -> None:
    """And goes back to itself."""
    snapshot = Snapshot.of(text, encoding=encoding)
    start = 0
    for number, line in enumerate(lines_of(text)):
        for index in range(len(body(line)) + 1):
            position = types.Position(number, units(line[:index], encoding))
            assert snapshot.offset_at(position) == start + index
            assert snapshot.position_at(start + index) == position
        start += len(line)


@given(texts, encodings)
def test_a_character_past_the_end_of_a_line_means_its_end(
    text: str, encoding: PositionEncoding
) -> None:
    """As LSP's Position says."""
    snapshot = Snapshot.of(text, encoding=encoding)
    for number in range(snapshot.line_count):
        assert snapshot.offset_at(types.Position(number, 10_000)) == snapshot.line_end(number)


@given(st.data(), texts)
def test_any_sequence_of_edits_equals_editing_the_plain_text(
    data: st.DataObject, text: str
) -> None:
    """The lines too, which are not searched for again."""
    snapshot = Snapshot.of(text)
    for _ in range(data.draw(st.integers(1, 6))):
        edit = data.draw(edits(text))
        text = text[: edit.start] + edit.text + text[edit.end :]
        snapshot = snapshot.replaced(edit)
        fresh = Snapshot.of(text)
        assert snapshot.text == text
        assert snapshot.line_starts == fresh.line_starts


def test_a_line_feed_after_a_carriage_return_joins_it() -> None:
    """Two edits make one line end, and one more edit makes two of it."""
    one = Snapshot.of("ab")
    two = one.replaced(Edit(1, 1, "\r"))
    three = two.replaced(Edit(2, 2, "\n"))
    four = three.replaced(Edit(2, 2, "x"))
    assert [s.line_starts for s in (one, two, three, four)] == [(0,), (0, 2), (0, 3), (0, 2, 4)]


def test_an_offset_between_carriage_return_and_line_feed_is_the_end_of_the_line() -> None:
    """A position cannot say where it is in between."""
    snapshot = Snapshot.of("ab\r\ncd")
    assert snapshot.position_at(3) == types.Position(0, 2)
    assert snapshot.range_of(1, 4) == types.Range(types.Position(0, 1), types.Position(1, 0))


def test_an_empty_document_has_one_empty_line() -> None:
    """Its only position is 0:0."""
    snapshot = Snapshot.of("")
    assert snapshot.line_count == 1
    assert snapshot.offset_at(types.Position(0, 0)) == 0
    assert snapshot.position_at(0) == types.Position(0, 0)


def test_the_line_after_the_last_means_the_end_of_the_text() -> None:
    """Some editors write "all lines" as 0:0 to line count:0."""
    assert Snapshot.of("ab\ncd").offset_at(types.Position(2, 0)) == 5


@pytest.mark.parametrize("position", [types.Position(2, 1), types.Position(3, 0)])
def test_a_line_beyond_that_is_an_error_that_names_the_range(position: types.Position) -> None:
    """Not a guess."""
    with pytest.raises(PositionError, match="lines are 0 to 1"):
        Snapshot.of("ab\ncd").offset_at(position)


@pytest.mark.parametrize(
    ("encoding", "character"),
    [(UTF16, 2), (PositionEncoding.Utf8, 2), (PositionEncoding.Utf8, 4)],
)
def test_a_position_inside_a_character_is_an_error(
    encoding: PositionEncoding, character: int
) -> None:
    """Half a surrogate pair, or a part of a multi-byte sequence."""
    with pytest.raises(PositionError, match=r"inside '😀'"):
        Snapshot.of("a😀b", encoding=encoding).offset_at(types.Position(0, character))


@pytest.mark.parametrize("offset", [-1, 3])
def test_an_offset_outside_of_the_text_is_an_error(offset: int) -> None:
    """Nothing is clamped."""
    with pytest.raises(PositionError, match="0 to 2"):
        Snapshot.of("ab").position_at(offset)


def test_a_range_that_ends_before_it_starts_is_an_error() -> None:
    """The client has mixed something up."""
    change = types.TextDocumentContentChangePartial(
        range=types.Range(types.Position(0, 2), types.Position(0, 1)), text=""
    )
    with pytest.raises(PositionError, match="ends before it starts"):
        Snapshot.of("abc").edit_of(change)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        ([], "utf-16"),
        (["utf-32", "utf-16"], "utf-32"),
        ([PositionEncoding.Utf8, PositionEncoding.Utf32], "utf-8"),
        (["utf-7", "utf-8"], "utf-8"),
        (["utf-7"], "utf-16"),
    ],
)
def test_the_first_encoding_of_the_client_that_we_know_is_taken(
    offered: list[PositionEncoding | str] | None, chosen: str
) -> None:
    """Which is what pygls announces for us, so the two must agree."""
    capabilities = types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=offered)
    )
    announced = ServerCapabilitiesBuilder.choose_position_encoding(capabilities)
    assert negotiate(offered).value == chosen
    assert PositionEncoding(announced) is negotiate(offered)


def test_a_text_of_no_document_says_nothing_of_one() -> None:
    """It has no URI, no language and no version."""
    snapshot = Snapshot.of("a")
    assert (snapshot.uri, snapshot.language_id, snapshot.version) == ("", "", 0)
