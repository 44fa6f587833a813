"""Messages in a stream of bytes: all that a client may send, and what no client should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.wire.frames import HEADER_BYTES, Frame, Frames, Refusal

GOOD = b"Content-Length: 2\r\n\r\n{}"


def read(*pieces: bytes) -> list[Frame]:
    """The messages in these pieces."""
    reader = Frames()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def kinds(found: list[Frame]) -> list[bytes | None]:
    """The bodies, and None for each refusal."""
    return [None if isinstance(frame, Refusal) else frame for frame in found]


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 2\r\n\r\n",
        b"content-length: 2\r\n\r\n",
        b"CONTENT-LENGTH: 2\r\n\r\n",
        b"Content-Length:2\r\n\r\n",
        b"Content-Length \t:\t 2 \t\r\n\r\n",
        b"Content-Length: 2\n\n",
        b"Content-Length: 2\r\n\n",
        b"Content-Length: 002\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 2\r\nX-Content-Length: 3\r\n\r\n",
        b"Content-Length: 2\r\nX: a content-length: 3\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"X: " + b"x" * (HEADER_BYTES - 100) + b"\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_a_header_may_be_written_in_many_ways(header: bytes) -> None:
    """As HTTP has it; what follows is read as well."""
    assert read(header + b"{}" + GOOD) == [b"{}", b"{}"]


@pytest.mark.parametrize(
    "value",
    [
        *[b"-1", b"+2", b"2.0", b"0x2", b"2 2", b"two", b"", b"\xd9\xa2", b"1e3"],
        *[b"9" * 5000, b"9" * 13, b"4294967297", b"2,2"],
    ],
)
def test_a_length_that_is_none_refuses_one_message(value: bytes) -> None:
    """The next one is read, though nobody knows where the body ends."""
    header = b"Content-Length: %s\r\nContent-Type: x\r\n\r\n" % value
    assert kinds(read(header + b"{}" + GOOD + GOOD)) == [None, b"{}", b"{}"]


def test_two_different_lengths_refuse_one_message() -> None:
    """Nobody can know which is right."""
    header = b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n"
    assert kinds(read(header + b"{}\n" + GOOD)) == [None, b"{}"]


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 2\r\nX: " + b"x" * HEADER_BYTES + b"\r\n\r\n{}",
        b"x" * (3 * HEADER_BYTES),
        b"x" * (3 * HEADER_BYTES) + b"\n",
        b"X: y\r\n" * HEADER_BYTES,
    ],
)
def test_a_header_that_does_not_end_refuses_one_message(header: bytes) -> None:
    """It is not kept in memory either."""
    reader = Frames()
    found = [
        frame
        for place in range(0, len(header), 1000)
        for frame in reader.feed(header[place : place + 1000])
    ]
    assert len(reader._buffer) <= HEADER_BYTES
    assert kinds([*found, *reader.feed(b"}" + GOOD)]) == [None, b"{}"]


@pytest.mark.parametrize(
    "garbage",
    [b"\r\n\r\n", b"{}", b"}\r\n", b'{"a": 1}\n\n', b"\x00\xff", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_garbage_between_messages_is_skipped(garbage: bytes) -> None:
    """For example the rest of a body that was longer than its header said."""
    assert read(GOOD + garbage + GOOD) == [b"{}", b"{}"]


def test_a_body_that_is_too_long_is_dropped() -> None:
    """It is refused when its header comes, and never kept."""
    reader = Frames(lambda: 100)
    (refusal,) = reader.feed(b"Content-Length: 101\r\n\r\n")
    assert refusal == Refusal("a body has 101 bytes; at most 100 are read")
    assert list(reader.feed(b"x" * 60)) == []
    assert len(reader._buffer) == 0
    assert list(reader.feed(GOOD[:1] * 41 + GOOD)) == [b"{}"]
    assert list(reader.feed(b"Content-Length: 100\r\n\r\n" + b"x" * 100)) == [b"x" * 100]


def test_how_long_a_body_may_be_is_asked_before_each() -> None:
    """The message before it, in the same bytes, may have changed that."""
    longest = 2
    reader = Frames(lambda: longest)
    found = reader.feed(GOOD + b"Content-Length: 4\r\n\r\n{  }")
    assert next(found) == b"{}"
    longest = 4
    assert list(found) == [b"{  }"]


def test_an_empty_body_is_a_body() -> None:
    """It is no JSON, but that is not to be told from here."""
    assert read(b"Content-Length: 0\r\n\r\n" + GOOD) == [b"", b"{}"]


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40).map(
            lambda body: b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        ),
        st.sampled_from(
            [
                *[GOOD, b"content-length:9", b"Content-Length: -1\r\n\r\n{}", b"\r", b"\n", b"{}"],
                *[b"x" * (HEADER_BYTES + 9), b"Content-Length: 1\nContent-Length: 2\n\n", b": "],
                b"Content-Length: 200000000\r\n\r\n",
            ]
        ),
        st.binary(max_size=20),
    ),
    max_size=12,
).map(b"".join)


@given(data=PIECES, cuts=st.lists(st.integers(0, 1 << 17), max_size=20))
def test_any_split_of_the_bytes_gives_the_same_messages(data: bytes, cuts: list[int]) -> None:
    """Messages, refusals and garbage alike."""
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    starts = [0, *ends[:-1]]
    pieces = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    assert read(*pieces) == read(data)
    if len(data) < 500:
        assert read(*(data[place : place + 1] for place in range(len(data)))) == read(data)


@given(bodies=st.lists(st.binary(max_size=60)))
def test_what_was_framed_comes_back(bodies: list[bytes]) -> None:
    """Whatever is in the bodies, headers too."""
    data = b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)
    assert read(data) == bodies
