"""Where a completion goes: nothing outside its range changes, whatever the document looks like."""

from __future__ import annotations

from completer_bench import bench
from fakes import writing
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.request.place import Ask, Place, Suggestion
from midfill.lsp_server.text.documents import Edit
from midfill.lsp_server.text.snapshot import Snapshot

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.lists(st.text(alphabet="ab\t \f\u2028é😀", max_size=4), min_size=1, max_size=4)


@given(
    lines=LINES, line_end=LINE_ENDS, middle=st.text(alphabet="xy \n", max_size=8), data=st.data()
)
async def test_accepting_keeps_every_other_byte(
    lines: list[str], line_end: str, middle: str, data: st.DataObject
) -> None:
    """Prefix + middle + suffix, whatever the line ends; the middle gets the document's."""
    text = line_end.join(lines)
    line = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[line])))
    offset = sum(len(each) + len(line_end) for each in lines[:line]) + column
    async with bench(writing(middle)) as b:
        snapshot = b.open(text)
        suggestions = await b.completer.complete(Ask(snapshot, offset))
    assert b.engine.requests[0].prefix == "\n".join([*lines[:line], lines[line][:column]])
    assert b.engine.requests[0].suffix == "\n".join([lines[line][column:], *lines[line + 1 :]])
    for each in suggestions or []:
        assert (each.start, each.end) == (offset, offset)
        ours = line_end if len(lines) > 1 else "\n"
        assert middle.startswith(each.text.replace(ours, "\n"))
        accepted = snapshot.replaced(Edit(each.start, each.end, each.text)).text
        assert accepted == text[:offset] + each.text + text[offset:]


async def test_what_the_popup_has_selected_starts_the_suggestion() -> None:
    """And the engine completes the text as if it were accepted already."""
    async with bench(writing("(x)")) as b:
        snapshot = b.open("import os\r\nos.pa\r\n")
        ask = Ask(snapshot, 16, selected=Edit(14, 16, "path"))
        suggestions = await b.completer.complete(ask)
    assert suggestions == [Suggestion(14, 16, "path(x)", "1")]
    assert b.engine.requests[0].prefix == "import os\nos.path"
    assert b.engine.requests[0].suffix == "\n"


async def test_with_nothing_to_add_to_the_popup_there_is_nothing_to_offer() -> None:
    """The popup offers its own text already."""
    async with bench(writing("")) as b:
        snapshot = b.open("os.pa")
        ask = Ask(snapshot, 5, selected=Edit(3, 5, "path"))
        assert await b.completer.complete(ask) == []


def test_the_place_behind_an_accepted_text_has_the_documents_line_ends() -> None:
    """As the next request will find it."""
    snapshot = Snapshot.of("a = \r\nb\r\n")
    behind = Place(Ask(snapshot, 4)).after("f(\n    x)")
    assert behind.snapshot.text == "a = f(\r\n    x)\r\nb\r\n"
    assert behind.hole.prefix == "a = f(\n    x)"
    assert behind.hole.suffix == "\nb\n"
