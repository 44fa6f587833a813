r"""What differs between programming languages, as one table.

A language id is LSP's (TextDocumentItem, "languageId"). ``definition`` matches the first line of a
top-level definition, whose name is the group that took part; None: nothing is known of it.

::

    language(language_id) -> Language        an unknown id gives one with "#" comments
    language_id_of(file_name) -> str         "plaintext" if no suffix fits
    defined_name(language, line) -> str | None
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath


class ImportSyntax(Enum):
    """How a file says which others it needs; the rules are in context/imports.py."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    GO = "go"
    RUST = "rust"
    INCLUDE = "include"
    JAVA = "java"


@dataclass(frozen=True, slots=True)
class Language:
    """One row."""

    id: str
    line_comment: str
    suffixes: tuple[str, ...] = ()
    """Ends of its files' names, with the dot; also whole names, such as Makefile."""
    imports: ImportSyntax | None = None
    definition: re.Pattern[str] | None = None


_PYTHON = re.compile(
    r"(?:async[ \t]+def|def|class)[ \t]+(\w+)|([A-Za-z_]\w*)[ \t]*(?::[^=\n]+)?=(?!=)"
)
_JAVASCRIPT = re.compile(
    r"(?:export[ \t]+)?(?:default[ \t]+)?(?:declare[ \t]+)?(?:abstract[ \t]+)?(?:async[ \t]+)?"
    r"(?:function\*?|class|interface|type|enum|namespace|const|let|var)[ \t]+([\w$]+)"
)
_GO = re.compile(r"(?:func[ \t]+(?:\([^)\n]*\)[ \t]*)?|type[ \t]+|var[ \t]+|const[ \t]+)(\w+)")
_RUST = re.compile(
    r"(?:pub(?:\([^)\n]*\))?[ \t]+)?"
    r"(?:async[ \t]+|unsafe[ \t]+|const[ \t]+|extern[ \t]+\"C\"[ \t]+)*"
    r"(?:fn|struct|enum|trait|type|union|static|const|mod|impl(?:<[^>\n]*>)?)[ \t]+"
    r"(?:mut[ \t]+)?(\w+)"
)
_C = re.compile(
    r"(?:(?:typedef[ \t]+)?(?:struct|class|enum|union|namespace)[ \t]+(?:class[ \t]+)?(\w+)"
    r"|#define[ \t]+(\w+)"
    r"|(?!return\b|else\b|using\b)[A-Za-z_][\w \t*&:<>,~]*?[ \t*&](~?\w+)[ \t]*\()"
)
_JAVA = re.compile(
    r"(?:(?:public|protected|private|abstract|final|sealed|static|data|open|internal)[ \t]+)*"
    r"(?:class|interface|enum|record|@interface|object|fun)[ \t]+(\w+)"
)
_RUBY = re.compile(r"(?:def|class|module)[ \t]+(?:self\.)?(\w+)")
_PHP = re.compile(
    r"(?:(?:abstract|final)[ \t]+)*(?:function|class|interface|trait|enum)[ \t]+(\w+)"
)
_CSHARP = re.compile(
    r"(?:(?:public|internal|private|abstract|sealed|static|partial)[ \t]+)*"
    r"(?:class|interface|struct|enum|record|namespace)[ \t]+([\w.]+)"
)
_LUA = re.compile(r"(?:local[ \t]+)?(?:function[ \t]+)([\w.:]+)|local[ \t]+(\w+)")
_SHELL = re.compile(r"(?:function[ \t]+)?([\w-]+)[ \t]*\(\)")

_JS_SUFFIXES = (".js", ".jsx", ".mjs", ".cjs")
_TS_SUFFIXES = (".ts", ".tsx", ".mts", ".cts")
_CPP_SUFFIXES = (".cc", ".cpp", ".cxx", ".hpp", ".hh", ".hxx", ".h")

_ROWS = (
    Language("python", "#", (".py", ".pyi", ".pyw"), ImportSyntax.PYTHON, _PYTHON),
    Language("javascript", "//", _JS_SUFFIXES, ImportSyntax.JAVASCRIPT, _JAVASCRIPT),
    Language("javascriptreact", "//", _JS_SUFFIXES, ImportSyntax.JAVASCRIPT, _JAVASCRIPT),
    Language("typescript", "//", _TS_SUFFIXES, ImportSyntax.JAVASCRIPT, _JAVASCRIPT),
    Language("typescriptreact", "//", _TS_SUFFIXES, ImportSyntax.JAVASCRIPT, _JAVASCRIPT),
    Language("vue", "//", (".vue",), ImportSyntax.JAVASCRIPT, _JAVASCRIPT),
    Language("svelte", "//", (".svelte",), ImportSyntax.JAVASCRIPT, _JAVASCRIPT),
    Language("go", "//", (".go",), ImportSyntax.GO, _GO),
    Language("rust", "//", (".rs",), ImportSyntax.RUST, _RUST),
    Language("c", "//", (".c", ".h"), ImportSyntax.INCLUDE, _C),
    Language("cpp", "//", _CPP_SUFFIXES, ImportSyntax.INCLUDE, _C),
    Language("cuda-cpp", "//", (".cu", ".cuh"), ImportSyntax.INCLUDE, _C),
    Language("objective-c", "//", (".m",), ImportSyntax.INCLUDE, _C),
    Language("objective-cpp", "//", (".mm",), ImportSyntax.INCLUDE, _C),
    Language("java", "//", (".java",), ImportSyntax.JAVA, _JAVA),
    Language("kotlin", "//", (".kt", ".kts"), ImportSyntax.JAVA, _JAVA),
    Language("scala", "//", (".scala", ".sc"), ImportSyntax.JAVA, _JAVA),
    Language("csharp", "//", (".cs",), None, _CSHARP),
    Language("php", "//", (".php",), None, _PHP),
    Language("ruby", "#", (".rb", ".rake", "Rakefile", "Gemfile"), None, _RUBY),
    Language("lua", "--", (".lua",), None, _LUA),
    Language("shellscript", "#", (".sh", ".bash", ".zsh"), None, _SHELL),
    Language("swift", "//", (".swift",)),
    Language("dart", "//", (".dart",)),
    Language("zig", "//", (".zig",)),
    Language("groovy", "//", (".groovy", ".gradle")),
    Language("fsharp", "//", (".fs", ".fsx")),
    Language("haskell", "--", (".hs",)),
    Language("elm", "--", (".elm",)),
    Language("sql", "--", (".sql",)),
    Language("ada", "--", (".adb", ".ads")),
    Language("vhdl", "--", (".vhd", ".vhdl")),
    Language("perl", "#", (".pl", ".pm")),
    Language("r", "#", (".r", ".R")),
    Language("julia", "#", (".jl",)),
    Language("elixir", "#", (".ex", ".exs")),
    Language("nix", "#", (".nix",)),
    Language("makefile", "#", (".mk", "Makefile", "GNUmakefile")),
    Language("cmake", "#", (".cmake", "CMakeLists.txt")),
    Language("dockerfile", "#", (".dockerfile", "Dockerfile")),
    Language("yaml", "#", (".yaml", ".yml")),
    Language("toml", "#", (".toml",)),
    Language("erlang", "%", (".erl", ".hrl")),
    Language("latex", "%", (".tex", ".sty", ".cls")),
    Language("matlab", "%"),
    Language("clojure", ";", (".clj", ".cljs", ".cljc", ".edn")),
    Language("lisp", ";", (".lisp", ".lsp", ".el")),
    Language("scheme", ";", (".scm", ".ss")),
    Language("ini", ";", (".ini", ".cfg")),
    Language("vim", '"', (".vim",)),
    Language("fortran", "!", (".f90", ".f95", ".f03", ".f08")),
)

_LONGEST_HEAD = 400
"""Characters of a line that are searched for a definition; minified files have endless lines."""

_BY_ID = {row.id: row for row in _ROWS}
_BY_SUFFIX = {suffix: row.id for row in reversed(_ROWS) for suffix in row.suffixes} | {
    ".jsx": "javascriptreact",
    ".tsx": "typescriptreact",
}


def language(language_id: str) -> Language:
    """The row of an id; for an unknown one, a row with nothing but a comment sign."""
    return _BY_ID.get(language_id) or Language(language_id, "#")


def language_id_of(file_name: str) -> str:
    """The language id of a file, by its name: Dockerfile, x.tar.py, a/b.ts."""
    path = PurePath(file_name)
    return _BY_SUFFIX.get(path.name) or _BY_SUFFIX.get(path.suffix, "plaintext")


def defined_name(row: Language, line: str) -> str | None:
    """The name that a line at the top level starts to define, or None."""
    match = row.definition.match(line, 0, _LONGEST_HEAD) if row.definition else None
    return match and match[match.lastindex or 0]
