"""The edited file: places in it, and every byte outside of the hole stays as it was."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.cli import source_file
from midfill.cli.source_file import LineColumn, Region, SourceFile, read_source
from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.text.lines import line_end_of
from midfill.lsp_server.text.snapshot import Snapshot

TEXTS = st.text(
    st.one_of(st.sampled_from("\n\r\t\f\u2028\u00e9\U0001f600 ab"), st.characters(codec="utf-8")),
    max_size=60,
)


def source_of(text: str) -> SourceFile:
    """A file that was never on disk."""
    return SourceFile(None, Snapshot.of(text), "utf-8")


@st.composite
def texts_with_offsets(draw: st.DrawFn) -> tuple[str, int]:
    """A text, and an offset in it that is not inside of a line end."""
    text = draw(TEXTS)
    offset = draw(st.integers(0, len(text)))
    inside = text[max(offset - 1, 0) : offset + 1] == "\r\n"
    return text, offset + 1 if inside else offset


@given(texts_with_offsets())
def test_a_place_and_its_offset_are_the_same_spot(drawn: tuple[str, int]) -> None:
    """What JSON output reports can be given to --at again."""
    text, offset = drawn
    source = source_of(text)
    assert source.offset(source.place(offset)) == offset


@given(texts_with_offsets())
def test_a_place_counts_line_ends_and_characters(drawn: tuple[str, int]) -> None:
    """The slow, obvious definition."""
    text, offset = drawn
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert source_of(text).place(offset) == LineColumn(line, column)


def test_a_column_counts_characters_not_bytes_or_utf16_units() -> None:
    """An astral character is one column."""
    assert source_of("\U0001f600x = 1").offset(LineColumn(1, 3)) == 2


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (LineColumn(3, 1), "line 3 is not in standard input: it has the lines 1 to 2"),
        (LineColumn(1, 4), r"column 4 .* 1 to 3 \(3 is the end of the line\)"),
        (LineColumn(2, 2), r"column 2 .* 1 to 1 \(1 is the end of the line\)"),
        (LineColumn(0, 1), "line 0"),
    ],
)
def test_a_place_outside_of_the_text_is_refused_with_what_is_allowed(
    place: LineColumn, message: str
) -> None:
    """The message has the value and the range."""
    with pytest.raises(InvalidRequestError, match=message):
        source_of("ab\r\n").offset(place)


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    """It is a mistake, not an empty hole."""
    source = source_of("abc\ndef")
    assert source.between(LineColumn(1, 2), LineColumn(2, 1)) == Region(1, 4)
    with pytest.raises(InvalidRequestError, match="ends at 1:1, before it starts at 2:1"):
        source.between(LineColumn(2, 1), LineColumn(1, 1))


def test_a_marker_must_be_there_once() -> None:
    """Absent or ambiguous, it names no hole."""
    source = source_of("a\n# hole\nb\nb\n")
    assert source.marked("# hole") == Region(2, 8)
    with pytest.raises(InvalidRequestError, match="'x' is not in standard input"):
        source.marked("x")
    with pytest.raises(InvalidRequestError, match="in line 3 and in line 4"):
        source.marked("b")
    with pytest.raises(InvalidRequestError, match="the marker is empty"):
        source.marked("")


def test_a_marker_that_overlaps_itself_is_ambiguous() -> None:
    """str.count would find it once."""
    with pytest.raises(InvalidRequestError, match="more than once"):
        source_of("aaa").marked("aa")


@given(
    texts_with_offsets().filter(lambda drawn: not drawn[0].startswith("\ufeff")),
    TEXTS.filter(lambda middle: "\r" not in middle),
    st.booleans(),
)
def test_writing_keeps_every_byte_before_and_after_the_hole(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, int], middle: str, has_bom: bool
) -> None:
    """Whatever line ends are mixed there, with or without a byte-order mark."""
    text, end = drawn
    start = end // 2
    path = tmp_path_factory.mktemp("source") / "file.py"
    bom = b"\xef\xbb\xbf" if has_bom else b""
    path.write_bytes(bom + text.encode())
    source = read_source(str(path))
    source.write(source.filled(Region(start, end), middle))
    written = middle.replace("\n", line_end_of(text)).encode()
    assert path.read_bytes() == bom + text[:start].encode() + written + text[end:].encode()


def test_the_middle_gets_the_line_ends_of_the_file(tmp_path: Path) -> None:
    """The engine writes newlines; the file has what it has."""
    path = tmp_path / "dos.py"
    path.write_bytes(b"a\r\n#\r\nz\n")
    source = read_source(str(path))
    source.write(source.filled(source.marked("#"), "b\nc"))
    assert path.read_bytes() == b"a\r\nb\r\nc\r\nz\n"


def test_a_file_keeps_its_encoding(tmp_path: Path) -> None:
    """Latin-1 in, Latin-1 out."""
    path = tmp_path / "latin.py"
    path.write_bytes("# é\n#\n".encode("latin-1"))
    source = read_source(str(path), "latin-1")
    source.write(source.filled(Region(4, 5), "ü"))
    assert path.read_bytes() == "# é\nü\n".encode("latin-1")


def test_a_character_that_the_encoding_lacks_leaves_the_file_alone(tmp_path: Path) -> None:
    """Half a file is worse than none."""
    path = tmp_path / "latin.py"
    path.write_bytes(b"#\n")
    source = read_source(str(path), "latin-1")
    with pytest.raises(InvalidRequestError, match="is latin-1, which lacks a character"):
        source.write("\u4e16")
    assert path.read_bytes() == b"#\n"


def test_bytes_that_are_not_text_name_the_way_out(tmp_path: Path) -> None:
    """The message says where, and that --encoding exists."""
    path = tmp_path / "latin.py"
    path.write_bytes(b"ab\xff")
    with pytest.raises(InvalidRequestError, match=r"is not utf-8 .*position 2.*--encoding"):
        read_source(str(path))


@pytest.mark.parametrize("name", ["no-such", "hex"])
def test_an_unknown_encoding_is_refused(name: str, tmp_path: Path) -> None:
    """Codecs that are not for text are no encodings either."""
    path = tmp_path / "a.py"
    path.write_bytes(b"ab")
    with pytest.raises(InvalidRequestError, match=f"'{name}' is no text encoding"):
        read_source(str(path), name)


def test_an_encoding_that_would_change_the_rest_is_not_written(tmp_path: Path) -> None:
    """Python's utf-16 writes little-endian, whatever it read."""
    path = tmp_path / "big.txt"
    data = b"\xfe\xff" + "a".encode("utf-16-be")
    path.write_bytes(data)
    with pytest.raises(InvalidRequestError, match="not plain utf-16, so that writing"):
        read_source(str(path), "utf-16").write("b")
    assert path.read_bytes() == data
    read_source(str(path), "utf-16-be").write("b")
    assert path.read_bytes() == b"\xfe\xff" + "b".encode("utf-16-be")


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    """Somebody saved it while the model was working."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    source = read_source(str(path))
    path.write_text("saved by the editor", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="it changed meanwhile"):
        source.write("new")
    assert path.read_text(encoding="utf-8") == "saved by the editor"


def test_a_save_in_the_last_moment_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the new file was already being written."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    source = read_source(str(path))
    monkeypatch.setattr(os, "fsync", lambda _: path.write_text("saved", encoding="utf-8"))
    with pytest.raises(InvalidRequestError, match="it changed meanwhile"):
        source.write("new")
    assert path.read_text(encoding="utf-8") == "saved"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_hard_links_is_left_alone(tmp_path: Path) -> None:
    """The other name would keep the old text."""
    path, other = tmp_path / "a.py", tmp_path / "b.py"
    path.write_text("old", encoding="utf-8")
    os.link(path, other)
    with pytest.raises(InvalidRequestError, match="it has 2 hard links"):
        read_source(str(path)).require_rewritable()
    assert path.samefile(other)


def test_writing_keeps_owner_and_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner is set before the mode, whose bits a change of owner clears."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o4755)
    done = list[tuple[object, ...]]()
    attributes = {"user.note": b"kept"}
    monkeypatch.setattr(os, "listxattr", lambda _: list(attributes), raising=False)
    monkeypatch.setattr(os, "getxattr", lambda _, name: attributes[name], raising=False)
    monkeypatch.setattr(os, "setxattr", lambda _, *x: done.append(("xattr", *x)), raising=False)
    monkeypatch.setattr(os, "chown", lambda _, *ids: done.append(("chown", *ids)))
    monkeypatch.setattr(source_file.shutil, "copymode", lambda *_: done.append(("mode",)))
    theirs = SimpleNamespace(st_uid=12345, st_gid=54321)
    new = tmp_path / "new"
    new.write_text("new", encoding="utf-8")
    stat_of = Path.stat
    monkeypatch.setattr(Path, "stat", lambda file: theirs if file == path else stat_of(file))
    source_file._make_alike(new, path)
    assert done == [("chown", 12345, 54321), ("xattr", "user.note", b"kept"), ("mode",)]


def test_an_owner_that_cannot_be_kept_leaves_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that runs as its owner would run as somebody else."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    source = read_source(str(path))

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(source_file, "_make_alike", refuse)
    with pytest.raises(PermissionError):
        source.write("new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """But not what a living one is still writing, nor anybody's other files."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    dead, alive = (f".a.py.midfill-{pid}.x1" for pid in (gone.pid, os.getpid()))
    for name in (dead, alive, ".a.py.midfill-notes", ".b.py.midfill-1.x"):
        (tmp_path / name).touch()
    read_source(str(path)).write("new")
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"a.py", alive, ".a.py.midfill-notes", ".b.py.midfill-1.x"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without a writer, a device, a file as large as a disk."""
    os.mkfifo(tmp_path / "pipe")
    for name in (str(tmp_path / "pipe"), os.devnull):
        with pytest.raises(InvalidRequestError, match="is no plain file: pipe its text"):
            read_source(name)
    monkeypatch.setattr(source_file, "MOST_BYTES", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(InvalidRequestError, match="no source has"):
        read_source(str(tmp_path / "large"))


def test_a_read_only_file_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename needs the folder's permission only, but the file says no."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "access", lambda file, mode: (Path(file), mode) != (path, os.W_OK))
    with pytest.raises(PermissionError) as refused:
        read_source(str(path)).require_rewritable()
    assert refused.value.filename == str(path)
    assert path.read_text(encoding="utf-8") == "old"


def test_writing_keeps_mode_and_symbolic_link(tmp_path: Path) -> None:
    """The link's target gets the text; an executable stays one."""
    target, link = tmp_path / "bin" / "tool", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("#", encoding="utf-8")
    target.chmod(0o750)
    link.symlink_to(target)
    source = read_source(str(link))
    source.write("done")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "done"
    assert stat.S_IMODE(target.stat().st_mode) == 0o750


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, say."""
    path = tmp_path / "a.py"
    path.write_text("old", encoding="utf-8")
    source = read_source(str(path))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        source.write("new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_standard_input_is_read_but_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to write to."""
    monkeypatch.setattr(source_file.sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\r\nb")))
    source = read_source("-")
    assert (source.name, source.text) == ("standard input", "a\r\nb")
    with pytest.raises(InvalidRequestError, match="leave out --write"):
        source.write("x")
