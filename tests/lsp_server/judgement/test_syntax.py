"""Which texts leave a file that parses, and what stays of the others."""

from __future__ import annotations

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.judgement import grammars
from midfill.lsp_server.judgement import syntax as syntax_module
from midfill.lsp_server.judgement.parsed_file import WINDOW
from midfill.lsp_server.judgement.syntax import Syntax, closers_of

CODE = st.text(alphabet="ab(){}[]=:'\" \n#", max_size=14)


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    """Each test judges for itself."""
    syntax_module._FINE.clear()


def stays(around: str, text: str, language_id: str = "python") -> str:
    """What stays of a text in the place of the mark."""
    prefix, suffix = around.split("‸")
    return text[: Syntax(prefix, suffix, language_id).stays(text)]


@pytest.mark.parametrize(
    ("around", "text"),
    [
        ("x = ‸\n", "foo(1)"),
        ("def f():\n    ‸\n\n\ndef g():\n    return 1\n", "return 2"),
        ("if x:‸\n", "\n    foo()\n    bar()"),
        ("for x in y:\n    ‸\n", '"""Not closed here."""\n    pass'),
        ("print(‸)\n", "a, b"),
        ("print(‸\n", "a, b"),  # the user has not closed it yet
        ("x = 'a‸\n", "bc"),
        ("text = f'‸'\n", "{a} and {b}"),
    ],
)
def test_what_parses_stays(around: str, text: str) -> None:
    """All of it."""
    assert stays(around, text) == text


@pytest.mark.parametrize(
    ("around", "text", "left"),
    [
        ("import os\nprint(os.‸)\n", "path.join(os.path.dirname(os.path.join(", "path.join"),
        ("x = 1\nif x:‸\n", "\n    foo()\n    bar(", "\n    foo()"),
        ("def pop(self):\n    ‸\n\n\ndef g():\n    return 1\n", '"""Remove the item', ""),
        ("for x in y:\n    ‸\n", "z = self.foo(a)[1", "z = self.foo(a)"),
        ("‸\n", "a = 1\nb = 2\nc = (", "a = 1\nb = 2"),
        ("print(‸)\n", "a, b(", "a, b"),
        ("x = 'a‸'\n", "b' + 'c' + d", "b' + 'c"),
    ],
)
def test_what_breaks_the_file_is_cut(around: str, text: str, left: str) -> None:
    """Behind a token of the cursor's line, or a whole line; nothing may be left."""
    assert stays(around, text) == left


@pytest.mark.parametrize(
    ("language_id", "around", "text", "left"),
    [
        (
            "javascript",
            "const f = (a) => {‸\n}\n",
            "\n  return a.map((b) => {\n",
            "\n  return a.map",
        ),
        ("javascriptreact", "const a = <b>‸</b>;\n", "{c}<d", "{c}"),
        ("typescript", "let a: ‸ = 1;\n", "Map<string", "Map"),
        ("typescriptreact", "const a: B = <c>‸</c>;\n", "{d}{", "{d}"),
        ("go", "package a\n\nfunc b() int {\n\t‸\n}\n", "return c(", "return c"),
        ("rust", "fn a() -> u8 {\n    ‸\n}\n", "b(1) + c(", "b(1) + c"),
        ("java", "class A {\n  int b() {\n    ‸\n  }\n}\n", "return 1;\n    if (", "return 1;"),
        ("c", "int a(void) {\n  ‸\n}\n", "return b[1];\n  if (c", "return b[1];"),
        ("cpp", "int a() {\n  ‸\n}\n", "return b<int>(1);\n  if (", "return b<int>(1);"),
        ("shellscript", "a() {\n  ‸\n}\n", 'echo "b"\n  if [', 'echo "b"'),
    ],
)
def test_each_language_has_its_grammar(language_id: str, around: str, text: str, left: str) -> None:
    """Those that most suggestions are for."""
    assert stays(around, text, language_id) == left


def test_a_language_without_a_grammar_is_not_judged() -> None:
    """Its texts stay."""
    assert stays("‸", "a ( b", "plaintext") == "a ( b"


def test_a_grammar_that_is_missing_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing fails for want of it."""

    def missing(name: str) -> object:
        raise ImportError(name)

    grammars._grammar.cache_clear()
    monkeypatch.setattr(grammars, "import_module", missing)
    assert stays("‸", "a ( b", "go") == "a ( b"
    assert stays("‸", "a ( b", "go") == "a ( b"
    grammars._grammar.cache_clear()
    assert caplog.text.count("the syntax of go is not judged") == 1
    assert import_module("tree_sitter_go")


def test_what_was_wrong_before_is_nobodys_fault() -> None:
    """Errors elsewhere in the file leave a text as free as none would."""
    assert stays("a = (\n\n\ndef f():\n    ‸\n", "return 1") == "return 1"


def test_a_file_in_another_language_is_not_judged() -> None:
    """Its texts stay."""
    rust = "fn f(x: &'static str) -> u8 { match x { _ => 1 } }\n" * 40
    assert stays(f"{rust}‸\n", "a ( b") == "a ( b"
    assert stays("x = 1\n‸\n", "a ( b") == "a"


def test_a_long_file_is_judged_around_the_hole() -> None:
    """In a window that begins and ends with lines of the file."""
    lines = "def f():\n    return [1, 2]\n\n\n" * (WINDOW // 10)
    assert stays(f"{lines}x = ‸\n{lines}", "foo(1") == "foo"
    assert stays(f"{lines}x = ‸\n{lines}", "foo(1)") == "foo(1)"


@given(prefix=CODE, suffix=CODE, text=CODE)
def test_what_is_sure_stays(prefix: str, suffix: str, text: str) -> None:
    """However the text goes on, and more of it the longer it is."""
    syntax = Syntax(prefix, suffix, "python")
    kept = text[: syntax.stays(text)]
    sure = ""
    for end in range(len(text) + 1):
        begin = text[:end]
        now = begin[: syntax.sure(begin)]
        assert now.startswith(sure)
        sure = now
    assert kept.startswith(sure)


@given(prefix=CODE, suffix=CODE, text=CODE)
def test_what_stays_does_not_break_the_file(prefix: str, suffix: str, text: str) -> None:
    """Unless nothing does."""
    syntax_module._FINE.clear()
    syntax = Syntax(prefix, suffix, "python")
    kept = text[: syntax.stays(text)]
    assert not kept or not syntax.breaks(kept)


def test_a_text_that_is_typed_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key makes the same file."""
    text = "compute(first)"
    assert stays("x = ‸\n", text) == text
    monkeypatch.setattr(syntax_module, "ParsedFile", None)
    for end in range(len(text)):
        assert stays(f"x = {text[:end]}‸\n", text[end:]) == text[end:]


def test_few_files_are_remembered() -> None:
    """By their hashes only."""
    for number in range(syntax_module.REMEMBERED + 9):
        stays("x = ‸\n", f"f({number})")
    assert len(syntax_module._FINE) == syntax_module.REMEMBERED


@pytest.mark.parametrize(
    ("line", "closers"),
    [("f(a, [b", "])"), ("f('(", "')"), ('"\\"', '"'), ("a)", ""), ("{[(", ")]}"), ("it's", "'")],
)
def test_an_open_line_is_closed(line: str, closers: str) -> None:
    """Brackets within quotes are none."""
    assert closers_of(line) == closers
