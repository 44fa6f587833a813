"""Which files of the workspace a file imports.

Regular expressions do it, since the text may be half-written. Two steps, so that a keystroke needs
the first one only: ``references`` reads the text, ``resolve`` looks at the disk.

::

    references(text, language) -> (Reference(target, names), ...)   in order of appearance
    resolve(references, path, language, root) -> (ImportedFile(path, names), ...)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from midfill.lsp_server.context.import_paths import Wanted, find
from midfill.lsp_server.context.look import Look
from midfill.lsp_server.text.languages import ImportSyntax, Language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

MAX_SCANNED = 1 << 16
"""Characters at the start of a text that are searched for imports."""


MAX_REFERENCES = 500
"""Imports of a text that are read."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One import as it is written."""

    target: str
    """The module, path or package, in the language's own spelling."""
    names: tuple[str, ...] = ()
    """Names taken from it; empty: the whole of it, or nothing is said."""


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file that exists, and what is taken from it."""

    path: Path
    names: frozenset[str]


def references(text: str, language: Language) -> tuple[Reference, ...]:
    """What the text imports, each once, in order of appearance, not too many."""
    if language.imports is None:
        return ()
    head = text[:MAX_SCANNED].replace("\r\n", "\n").replace("\r", "\n")
    found = _READERS[language.imports](head)
    return tuple(dict.fromkeys(islice(found, MAX_REFERENCES)))


def resolve(
    found: Iterable[Reference],
    path: Path,
    language: Language,
    root: Path,
    look: Look | None = None,
) -> tuple[ImportedFile, ...]:
    """The files below ``root`` that the references of the file at ``path`` mean.

    Each stands once, at its first reference, with the names of all; the file itself never does.
    """
    look = look or Look()
    names: dict[Path, set[str]] = {}
    if language.imports is None:
        return ()
    for reference in found:
        if look.is_over:
            break
        wanted = Wanted(reference.target, reference.names, path, root, look)
        files = find(language.imports, wanted)
        for target in look.skipped.guarded(f"the import of {reference.target}", files):
            if target != path and target.is_relative_to(root):
                names.setdefault(target, set()).update(reference.names)
    return tuple(ImportedFile(target, frozenset(taken)) for target, taken in names.items())


_NAME = re.compile(r"[A-Za-z_$][\w$]*")


def _names(text: str) -> tuple[str, ...]:
    """The imported names in ``a, b as c``: what they are called where they are defined."""
    words = (_NAME.search(part) for part in text.split(","))
    return tuple(word[0] for word in words if word)


_PYTHON = re.compile(
    r"""^[ \t]*(?:
        from[ \t]+(?P<module>[\w.]+)[ \t]+import[ \t]+
            (?:\((?P<lines>[^)]{0,4000})|(?P<names>[^\n#;(]+))
      | import[ \t]+(?P<modules>[\w., \t]+)
    )""",
    re.MULTILINE | re.VERBOSE,
)


def _python(text: str) -> Iterator[Reference]:
    for match in _PYTHON.finditer(text):
        if match["modules"] is not None:
            for part in match["modules"].split(","):
                if words := part.split():
                    yield Reference(words[0])
        else:
            lines = re.sub(r"#[^\n]*", "", match["lines"] or match["names"] or "")
            yield Reference(match["module"], _names(lines))


# Each part ends before a second one like it can start, so that all of them together are linear.
_JAVASCRIPT = re.compile(
    r"""(?:\b(?:import|export)\b(?P<names>(?:(?!\b(?:import|export)\b)[^;'"()]){0,4000}?)\bfrom\s*
      | \bimport\s*(?:\(\s*)?
      | \b(?:const|let|var)\s+(?P<required>\{[^{}]{0,4000}\}|\w+)\s*=\s*require\(\s*
      | \brequire\(\s*
    )["'](?P<path>\.[^"'\n]*)["']""",
    re.VERBOSE,
)


def _javascript(text: str) -> Iterator[Reference]:
    for match in _JAVASCRIPT.finditer(text):
        names = match["names"] or match["required"] or ""
        yield Reference(match["path"], _names(re.sub(r"\btype\s|[{}*]|\bas\s+\w+", " ", names)))


_GO_BLOCK = re.compile(r"^import[ \t]*(?:\((?P<block>[^)]{0,9999})|(?P<one>[^\n(]+))", re.MULTILINE)
_QUOTED = re.compile(r'"([^"\n]+)"')


def _go(text: str) -> Iterator[Reference]:
    for match in _GO_BLOCK.finditer(text):
        for path in _QUOTED.findall(match["block"] or match["one"] or ""):
            yield Reference(path)


_RUST = re.compile(
    r"^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?"
    r"(?:mod[ \t]+(?P<mod>\w+)[ \t]*;|use[ \t]+(?P<use>(?:crate|self|super)\b[^;]{0,4000}))",
    re.MULTILINE,
)


def _rust(text: str) -> Iterator[Reference]:
    for match in _RUST.finditer(text):
        if match["mod"]:
            yield Reference(f"mod {match['mod']}")
            continue
        base, brace, inside = match["use"].partition("{")
        path = "".join(base.split(" as ")[0].split()).removesuffix("::")
        if not brace:
            path, _, inside = path.rpartition("::")
        names = (name for name in _names(inside.replace("::", ",")) if name != "self")
        yield Reference(path, tuple(names))


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*(?:include|import)[ \t]*"([^"\n]+)"', re.MULTILINE)


def _include(text: str) -> Iterator[Reference]:
    return (Reference(path) for path in _INCLUDE.findall(text))


_JAVA = re.compile(r"^[ \t]*import[ \t]+(?:static[ \t]+)?([\w.]+(?:\*|\w))", re.MULTILINE)


def _java(text: str) -> Iterator[Reference]:
    for path in _JAVA.findall(text):
        name = path.rpartition(".")[2]
        yield Reference(path, () if name == "*" else (name,))


_READERS: Mapping[ImportSyntax, Callable[[str], Iterator[Reference]]] = {
    ImportSyntax.PYTHON: _python,
    ImportSyntax.JAVASCRIPT: _javascript,
    ImportSyntax.GO: _go,
    ImportSyntax.RUST: _rust,
    ImportSyntax.INCLUDE: _include,
    ImportSyntax.JAVA: _java,
}
