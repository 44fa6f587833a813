"""The table of languages, beside that of Pygments, which another project made."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment

from midfill.lsp_server.text.languages import defined_name, language, language_id_of

IDS = (
    *("ada", "c", "clojure", "cmake", "cpp", "csharp", "cuda-cpp", "dart", "dockerfile", "elixir"),
    *("elm", "erlang", "fortran", "fsharp", "go", "groovy", "haskell", "ini", "java", "javascript"),
    *("javascriptreact", "julia", "kotlin", "latex", "lisp", "lua", "makefile", "matlab", "nix"),
    *("objective-c", "objective-cpp", "perl", "php", "python", "r", "ruby", "rust", "scala"),
    *("scheme", "shellscript", "sql", "swift", "toml", "typescript", "typescriptreact", "vhdl"),
    *("vim", "yaml", "zig"),
)
LEXERS = {
    "cuda-cpp": "cuda",
    "objective-cpp": "objective-c++",
    "shellscript": "bash",
    "latex": "tex",
    "javascriptreact": "javascript",
    "typescriptreact": "typescript",
}
"""What Pygments calls a language, where LSP's id says nothing to it."""
HEADS = {"php": "<?php\n"}
FILES = {
    "ada": "a.adb a.ads",
    "c": "a.c a.h",
    "clojure": "a.clj a.cljc",
    "cmake": "a.cmake CMakeLists.txt b/CMakeLists.txt",
    "cpp": "a.cc a.cpp a.cxx a.hpp a.hh a.hxx",
    "csharp": "a.cs",
    "cuda-cpp": "a.cu a.cuh",
    "dart": "a.dart",
    "dockerfile": "Dockerfile",
    "elixir": "a.ex a.exs",
    "elm": "a.elm",
    "erlang": "a.erl a.hrl",
    "fortran": "a.f90 a.f03",
    "fsharp": "a.fs a.fsx",
    "go": "a.go",
    "groovy": "a.groovy a.gradle",
    "haskell": "a.hs",
    "ini": "a.ini a.cfg",
    "java": "a.java",
    "javascript": "a.js a.mjs a.cjs",
    "julia": "a.jl",
    "kotlin": "a.kt a.kts",
    "latex": "a.tex",
    "lisp": "a.lisp",
    "lua": "a.lua",
    "makefile": "a.mk Makefile GNUmakefile",
    "nix": "a.nix",
    "objective-c": "a.m",
    "objective-cpp": "a.mm",
    "perl": "a.pl a.pm",
    "php": "a.php",
    "python": "a.py a.pyi a.pyw b/a.tar.py",
    "r": "a.R",
    "ruby": "a.rb a.rake Rakefile Gemfile",
    "rust": "a.rs",
    "scala": "a.scala",
    "scheme": "a.scm a.ss",
    "shellscript": "a.sh a.bash a.zsh",
    "sql": "a.sql",
    "swift": "a.swift",
    "toml": "a.toml",
    "typescript": "a.ts",
    "vhdl": "a.vhd a.vhdl",
    "vim": "a.vim",
    "yaml": "a.yaml a.yml",
    "zig": "a.zig",
}
OTHER_FILES = {
    "clojure": "a.cljs a.edn",
    "dockerfile": "a.dockerfile",
    "fortran": "a.f95 a.f08",
    "javascriptreact": "a.jsx",
    "latex": "a.sty a.cls",
    "lisp": "a.lsp a.el",
    "plaintext": "a a.unknown py .py/a",
    "r": "a.r",
    "scala": "a.sc",
    "svelte": "a.svelte",
    "typescript": "a.mts a.cts",
    "typescriptreact": "a.tsx",
    "vue": "a.vue",
}
"""What Pygments gives to another language, or does not know."""
DEFINITIONS = {
    "python": "def name(a):|async def name():|class name:|name = 1|name: int = 1",
    "javascript": "function name() {|export default class name {|let name;|async function* name",
    "typescript": "export declare abstract class name|interface name|export type name =|enum name",
    "go": "func name(|func (s *Server) name(|type name struct {|var name int|const name = 1",
    "rust": 'pub(crate) fn name|pub struct name;|impl<T> name|const name: u8|extern "C" fn name',
    "c": "typedef struct name {|#define name 1|static int *name(void)|enum name {|class name {",
    "java": "public static final class name|@interface name|record name|fun name(|data class name",
    "ruby": "def name|def self.name|class name|module name",
    "php": "abstract class name|function name(|trait name|final class name",
    "csharp": "public sealed class name|internal struct name|namespace name|partial record name",
    "lua": "function name()|local function name()|local name = 1",
    "shellscript": "name() {|function name() {",
}
NO_DEFINITIONS = {
    "python": " def name():|name == 1|return name|defname(a)",
    "javascript": "return name|functional name|name = 1",
    "go": "return name|functional name",
    "rust": "let name = 1;|return name",
    "c": "return name(a);|else name(a);|using name(a);|name;",
    "java": "return name|classy name",
    "ruby": "return name|define name",
    "shellscript": "name arg|name (",
    "haskell": "name = 1",
    "unknown": "def name():",
}


def _rows(table: dict[str, str], separator: str | None = None) -> list[tuple[str, str]]:
    return [(id_, each) for id_, row in table.items() for each in row.split(separator)]


@pytest.mark.parametrize("language_id", IDS)
def test_a_comment_begins_as_the_language_says(language_id: str) -> None:
    """A line behind its mark is a comment for the language's lexer, too, and nothing less is."""
    mark = language(language_id).line_comment
    assert _is_comment(language_id, f"{mark} word\n")
    assert not _is_comment(language_id, f"{mark[:-1]} word\n")


def _is_comment(language_id: str, line: str) -> bool:
    lexer = get_lexer_by_name(LEXERS.get(language_id, language_id))
    tokens = lexer.get_tokens(HEADS.get(language_id, "") + line)
    return [kind in Comment for kind, part in tokens if "word" in part] == [True]


@pytest.mark.parametrize("language_id", ["vue", "svelte"])
def test_languages_in_pages_have_the_script_s_comments(language_id: str) -> None:
    """Their own markup has none that ends with its line."""
    assert language(language_id).line_comment == language("javascript").line_comment


def test_an_unknown_language_has_number_signs_before_comments() -> None:
    """Its row has nothing else."""
    row = language("brainfuck")
    assert (row.id, row.line_comment, row.suffixes, row.imports) == ("brainfuck", "#", (), None)


@pytest.mark.parametrize(("language_id", "name"), _rows(FILES))
def test_a_file_s_name_tells_its_language(language_id: str, name: str) -> None:
    """As it does to Pygments."""
    assert language_id_of(name) == language_id
    lexer = get_lexer_by_name(LEXERS.get(language_id, language_id))
    assert any(fnmatch(name.rpartition("/")[2], pattern) for pattern in lexer.filenames)


@pytest.mark.parametrize(("language_id", "name"), _rows(OTHER_FILES))
def test_names_that_pygments_reads_otherwise(language_id: str, name: str) -> None:
    """Most are of newer dialects of a language."""
    assert language_id_of(name) == language_id


@pytest.mark.parametrize(("language_id", "line"), _rows(DEFINITIONS, "|"))
def test_the_name_of_a_definition(language_id: str, line: str) -> None:
    """It is what follows keywords and modifiers."""
    assert defined_name(language(language_id), line) == "name"


@pytest.mark.parametrize(("language_id", "line"), _rows(NO_DEFINITIONS, "|"))
def test_other_lines_define_nothing(language_id: str, line: str) -> None:
    """Statements, uses, words that begin like keywords, languages without a rule."""
    assert defined_name(language(language_id), line) is None


def test_a_definition_far_inside_a_line_is_not_looked_for() -> None:
    """Minified files have endless lines."""
    row = language("go")
    assert defined_name(row, f"func ({'a' * 388}) name(") == "name"
    assert defined_name(row, f"func ({'a' * 400}) name(") is None
