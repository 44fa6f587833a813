"""Imports: what a text says, and which files of a small workspace it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.context.imports import (
    MAX_SCANNED,
    ImportedFile,
    Reference,
    references,
    resolve,
)
from midfill.lsp_server.text.languages import defined_name, language, language_id_of

if TYPE_CHECKING:
    from pathlib import Path


def workspace(root: Path, *names: str) -> None:
    """Empty files below the root."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def imported(root: Path, name: str, text: str, language_id: str | None = None) -> list[str]:
    """The files that ``text``, as the file of that name, imports, relative to the root."""
    row = language(language_id or language_id_of(name))
    files = resolve(references(text, row), root / name, row, root)
    return [file.path.relative_to(root).as_posix() for file in files]


PYTHON_FILES = (
    "app.py",
    "pkg/__init__.py",
    "pkg/a.py",
    "pkg/b.pyi",
    "pkg/sub/__init__.py",
    "pkg/sub/c.py",
    "src/lib/__init__.py",
    "src/lib/core.py",
    "tools/run.py",
    "tools/shared.py",
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("app.py", "import pkg", ["pkg/__init__.py"]),
        ("app.py", "import pkg.a as x, os, pkg.sub", ["pkg/a.py", "pkg/sub/__init__.py"]),
        ("app.py", "from pkg import a, b as z", ["pkg/__init__.py", "pkg/a.py", "pkg/b.pyi"]),
        (
            "app.py",
            "from pkg.sub import (\n    c,  # why\n    d,\n",
            ["pkg/sub/__init__.py", "pkg/sub/c.py"],
        ),
        ("app.py", "def f():\n    from pkg.a import x; y = 1", ["pkg/a.py"]),
        ("app.py", "import lib.core", ["src/lib/core.py"]),
        (
            "app.py",
            "import pkg.a\r\nimport pkg.b\rimport pkg.sub.c",
            ["pkg/a.py", "pkg/b.pyi", "pkg/sub/c.py"],
        ),
        (
            "app.py",
            "import app\nimport os\nimport\nfrom\nfrom . import\nimport pkg.a",
            ["pkg/a.py"],
        ),
        (
            "pkg/a.py",
            "from . import b, sub",
            ["pkg/__init__.py", "pkg/b.pyi", "pkg/sub/__init__.py"],
        ),
        ("pkg/a.py", "from .sub.c import x", ["pkg/sub/c.py"]),
        ("pkg/sub/c.py", "from ..a import *", ["pkg/a.py"]),
        ("pkg/sub/c.py", "from ..... import a", []),
        ("tools/run.py", "import shared", ["tools/shared.py"]),
        ("src/lib/core.py", "from lib import nothing", ["src/lib/__init__.py"]),
        ("app.py", "important = 1\n# import pkg\nx = 'import pkg'", []),
    ],
)
def test_python_imports_are_found(
    tmp_path: Path, name: str, text: str, expected: list[str]
) -> None:
    """Absolute, relative, in brackets, from src layouts and beside scripts."""
    workspace(tmp_path, *PYTHON_FILES)
    assert imported(tmp_path, name, text) == expected


JAVASCRIPT_FILES = (
    "src/a.ts",
    "src/b.js",
    "src/view.tsx",
    "src/types.d.ts",
    "src/lib/index.ts",
    "src/deep/x.ts",
    "src/index.ts",
    "src/data.json",
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("src/b.js", 'import { x } from "./a"', ["src/a.ts"]),
        ("src/b.js", "import x from './a.js';", ["src/a.ts"]),
        ("src/b.js", "import View from './view.jsx';", ["src/view.tsx"]),
        ("src/a.ts", "import './b'", ["src/b.js"]),
        ("src/a.ts", "export * from './lib'", ["src/lib/index.ts"]),
        ("src/a.ts", "const { p, q: r } = require('./b')", ["src/b.js"]),
        ("src/a.ts", "await import(\n  './view')", ["src/view.tsx"]),
        ("src/a.ts", "require('./b.js').x()", ["src/b.js"]),
        ("src/a.ts", "import type { T } from './types'", ["src/types.d.ts"]),
        (
            "src/deep/x.ts",
            "import y from '..'; import z from '../'; import w from '../a'",
            ["src/index.ts", "src/a.ts"],
        ),
        ("src/deep/x.ts", "import y from '../lib/'", ["src/lib/index.ts"]),
        ("src/a.ts", "import react from 'react'; import m from './missing'", []),
        ("src/a.ts", "import x from '../../outside'", []),
        (
            "src/view.tsx",
            "import {\n  a,\n  b as c,\n} from './a'\nimport './b'",
            ["src/a.ts", "src/b.js"],
        ),
    ],
)
def test_javascript_and_typescript_imports_are_found(
    tmp_path: Path, name: str, text: str, expected: list[str]
) -> None:
    """Relative ones; suffixes, folders and compiled names are tried."""
    workspace(tmp_path, *JAVASCRIPT_FILES)
    workspace(tmp_path.parent, "outside.ts")
    assert imported(tmp_path, name, text) == expected


def test_go_packages_are_found_below_the_module(tmp_path: Path) -> None:
    """All their files but the tests; the module's path is in go.mod."""
    workspace(tmp_path, "svc/main.go", "svc/db/b.go", "svc/db/a.go", "svc/db/a_test.go", "svc/x.go")
    (tmp_path / "svc/go.mod").write_text("// x\nmodule example.com/svc\n\ngo 1.22\n")
    text = (
        'package main\nimport (\n\t"fmt"\n\tdb "example.com/svc/db"\n)\nimport "example.com/svc"\n'
    )
    expected = ["svc/db/a.go", "svc/db/b.go", "svc/x.go"]
    assert imported(tmp_path, "svc/main.go", text) == expected
    assert imported(tmp_path, "svc/main.go", 'import "example.com/svcother"') == []


def test_go_without_a_module_finds_nothing(tmp_path: Path) -> None:
    """Nor with an empty go.mod, nor for a package that is not there."""
    workspace(tmp_path, "main.go", "db/a.go")
    assert imported(tmp_path, "main.go", 'import "example.com/db"') == []
    (tmp_path / "go.mod").write_text("")
    assert imported(tmp_path, "main.go", 'import "example.com/db"') == []
    (tmp_path / "go.mod").write_text("module example.com\n")
    assert imported(tmp_path, "main.go", 'import "example.com/none"') == []


RUST_FILES = (
    "src/main.rs",
    "src/a.rs",
    "src/a/b.rs",
    "src/net/mod.rs",
    "src/net/tcp.rs",
    "src/net/udp.rs",
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("src/main.rs", "mod a;\npub(crate) mod net;", ["src/a.rs", "src/net/mod.rs"]),
        ("src/a.rs", "mod b;", ["src/a/b.rs"]),
        ("src/a.rs", "use crate::net::tcp::Socket;", ["src/net/tcp.rs"]),
        (
            "src/a.rs",
            "use crate::net::{tcp, udp::{Packet, self}};",
            ["src/net/tcp.rs", "src/net/udp.rs", "src/net/mod.rs"],
        ),
        ("src/a.rs", "pub use crate::net as n;", ["src/net/mod.rs"]),
        ("src/net/tcp.rs", "use super::udp::Packet;", ["src/net/udp.rs"]),
        ("src/a/b.rs", "use super::super::net::Stack;", ["src/net/mod.rs"]),
        ("src/net/mod.rs", "use self::tcp::Socket;", ["src/net/tcp.rs"]),
        ("src/main.rs", "use std::io; mod missing { }", []),
    ],
)
def test_rust_modules_are_found(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    """Those of the crate, of the module itself and of those above."""
    workspace(tmp_path, "Cargo.toml", *RUST_FILES)
    assert imported(tmp_path, name, text) == expected


def test_a_rust_workspace_without_manifest_has_its_sources_in_src(tmp_path: Path) -> None:
    """A nested crate has its own."""
    workspace(
        tmp_path, "src/a.rs", "crates/x/Cargo.toml", "crates/x/src/lib.rs", "crates/x/src/a.rs"
    )
    assert imported(tmp_path, "src/main.rs", "use crate::a::A;") == ["src/a.rs"]
    assert imported(tmp_path, "crates/x/src/lib.rs", "use crate::a::A;") == ["crates/x/src/a.rs"]


def test_c_and_cpp_includes_are_found(tmp_path: Path) -> None:
    """Beside the file, and in include and src folders above."""
    workspace(tmp_path, "src/main.c", "src/util.h", "include/api.hpp", "top.h")
    text = '#include "util.h"\n# include "../top.h"\n#include "api.hpp"\n#include <stdio.h>\n'
    assert imported(tmp_path, "src/main.c", text) == ["src/util.h", "top.h", "include/api.hpp"]


JAVA_FILES = (
    "app/src/main/java/com/x/Main.java",
    "app/src/main/java/com/x/db/Store.java",
    "app/src/main/java/com/x/db/Table.java",
    "app/src/main/kotlin/com/x/Extra.kt",
    "app/src/test/java/com/x/MainTest.java",
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (JAVA_FILES[0], "package com.x;\nimport com.x.db.Store;", [JAVA_FILES[1]]),
        (JAVA_FILES[0], "import static com.x.db.Store.open;", [JAVA_FILES[1]]),
        (JAVA_FILES[0], "import com.x.db.*;", [JAVA_FILES[1], JAVA_FILES[2]]),
        (JAVA_FILES[0], "import com.x.Extra", [JAVA_FILES[3]]),
        (JAVA_FILES[4], "import com.x.Main;", [JAVA_FILES[0]]),
        (JAVA_FILES[0], "import java.util.*;\nimport java.util.List;", []),
    ],
)
def test_java_and_kotlin_classes_are_found(
    tmp_path: Path, name: str, text: str, expected: list[str]
) -> None:
    """By package path, below the source folders of the file's own module."""
    workspace(tmp_path, *JAVA_FILES)
    assert imported(tmp_path, name, text) == expected


def test_a_language_without_rules_imports_nothing(tmp_path: Path) -> None:
    """As does one that nobody knows."""
    assert imported(tmp_path, "x.txt", "import pkg") == []
    assert resolve([Reference("pkg")], tmp_path / "x", language("klingon"), tmp_path) == ()


def test_names_of_all_imports_of_one_file_come_together(tmp_path: Path) -> None:
    """At its first import; names are those of the imported file, not the local ones."""
    workspace(tmp_path, "a.py", "b.py")
    row = language("python")
    found = references("from a import x as y\nimport b\nfrom a import (z,\n w)\nimport a\n", row)
    assert resolve(found, tmp_path / "c.py", row, tmp_path) == (
        ImportedFile(tmp_path / "a.py", frozenset({"x", "z", "w"})),
        ImportedFile(tmp_path / "b.py", frozenset()),
    )


@pytest.mark.parametrize(
    ("language_id", "text", "names"),
    [
        ("typescript", "import D, { a, b as c, type T } from './x'", ("D", "a", "b", "T")),
        ("typescript", "import * as ns from './x'", ()),
        ("javascript", "const { p } = require('./x')", ("p",)),
        ("rust", "use crate::x::{a::A, b};", ("a", "A", "b")),
        ("java", "import a.b.C;", ("C",)),
        ("python", "from x import *", ()),
    ],
)
def test_imported_names_are_read(language_id: str, text: str, names: tuple[str, ...]) -> None:
    """They are what the current file most likely uses."""
    assert [r.names for r in references(text, language(language_id))] == [names]


@given(
    st.sampled_from(["python", "typescript", "go", "rust", "cpp", "java"]),
    st.lists(
        st.sampled_from(
            [
                "import ",
                "from ",
                "use crate::",
                "{",
                "(",
                ")",
                "}",
                "a",
                ".",
                ",",
                "'",
                '"',
                "\n",
                "\r",
                " as ",
                "*",
                "#include ",
                "mod ",
                ";",
                " ",
            ]
        )
    ),
)
def test_half_written_text_never_fails(language_id: str, words: list[str]) -> None:
    """It is half-written most of the time."""
    found = references("".join(words), language(language_id))
    assert len(set(found)) == len(found)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit", ["import ", "export {", "from a import (", " ", "use crate::", "const {"]
)
@pytest.mark.parametrize("language_id", ["python", "typescript", "go", "rust", "cpp", "java"])
def test_hostile_text_takes_no_long_time(language_id: str, unit: str) -> None:
    """No expression backtracks over the whole text again and again."""
    references(f"import {unit * MAX_SCANNED}", language(language_id))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.py", "python"),
        ("x.d.ts", "typescript"),
        ("view.tsx", "typescriptreact"),
        ("view.jsx", "javascriptreact"),
        ("x.h", "c"),
        ("Dockerfile", "dockerfile"),
        ("deep/Makefile", "makefile"),
        ("README", "plaintext"),
        ("notes.xyz", "plaintext"),
    ],
)
def test_the_language_of_a_file_comes_from_its_name(name: str, expected: str) -> None:
    """For the command line, and for neighbours on disk."""
    assert language_id_of(name) == expected


@pytest.mark.parametrize(
    ("language_id", "line", "name"),
    [
        ("python", "async def go(x):", "go"),
        ("python", "LIMIT: int = 3", "LIMIT"),
        ("python", "x == 3", None),
        ("python", "    def inner(): ...", None),
        ("typescript", "export default async function* walk() {", "walk"),
        ("typescript", "export const limit = 3", "limit"),
        ("go", "func (s *Store) Get(key string) error {", "Get"),
        ("rust", "pub(crate) async fn run() {", "run"),
        ("rust", "impl<T> Store<T> {", "Store"),
        ("c", "static inline int add(int a, int b)", "add"),
        ("c", "#define LIMIT 3", "LIMIT"),
        ("cpp", "enum class Kind {", "Kind"),
        ("cpp", "return f(x);", None),
        ("java", "public final class Store<T> {", "Store"),
        ("csharp", "public sealed record Point(int X);", "Point"),
        ("php", "final class Store", "Store"),
        ("ruby", "  def x", None),
        ("ruby", "def self.open(path)", "open"),
        ("lua", "local function walk(t)", "walk"),
        ("shellscript", "usage() {", "usage"),
        ("plaintext", "def x():", None),
    ],
)
def test_definitions_are_recognised(language_id: str, line: str, name: str | None) -> None:
    """At the start of the line only: those are at the top level."""
    assert defined_name(language(language_id), line) == name


def test_an_unknown_language_has_a_comment_sign_all_the_same() -> None:
    """Context may stand in comments."""
    assert language("klingon").line_comment == "#"
    assert language("lua").line_comment == "--"
