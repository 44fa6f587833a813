"""The files that an import means, by the search rules of each language, in its own order."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.lsp_server.context.look import Look
from midfill.lsp_server.text.languages import ImportSyntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MAX_PACKAGE_FILES = 20
"""Files at most of a folder that is imported as a whole (Go packages, ``import a.b.*``)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An import to look for."""

    target: str
    """The module as written: ``..a.b``, ``./x.js``, ``crate::a``."""
    names: tuple[str, ...]
    """Names taken from it, where the language says so."""
    path: Path
    """The importing file."""
    root: Path
    """The workspace folder, where the search ends."""
    look: Look = field(default_factory=Look, compare=False)
    """What may be looked at."""

    def first(self, candidates: Iterable[Path]) -> Iterator[Path]:
        """The first that is a file, or nothing."""
        for candidate in candidates:
            if self.look.is_file(candidate):
                yield candidate
                return

    def files_of(self, folder: Path, suffix: str) -> list[Path]:
        """The files of a folder, by name, not too many."""
        if not self.look.is_folder(folder):
            return []
        return [folder / name for name in self.look.names(folder, (suffix,))[:MAX_PACKAGE_FILES]]

    def folders(self) -> Iterator[Path]:
        """The importing file's folder, and those above it up to the root."""
        return takewhile(lambda folder: folder.is_relative_to(self.root), self.path.parents)


def find(syntax: ImportSyntax, wanted: Wanted) -> Iterator[Path]:
    """Existing files, in the language's order of search."""
    return _FINDERS[syntax](wanted)


def _suffixed(path: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    return (path.with_name(path.name + suffix) for suffix in suffixes)


def _python(wanted: Wanted) -> Iterator[Path]:
    """``a.b``, ``.a``, ``..``; a name taken from a package may be a module of it."""
    target = wanted.target
    dots = len(target) - len(target.lstrip("."))
    parts = [part for part in target[dots:].split(".") if part]
    if dots:
        bases = list(wanted.path.parents)[dots - 1 : dots]
    else:
        bases = [wanted.root, wanted.root / "src", *wanted.folders()]
    for base in bases:
        module = base.joinpath(*parts)
        if found := list(_python_files(module, wanted, wanted.names, named=bool(parts))):
            yield from found
            return


def _python_files(
    module: Path, wanted: Wanted, names: tuple[str, ...], *, named: bool
) -> Iterator[Path]:
    """The module or package at a path, and its modules among the names."""
    own = [module / "__init__.py", module / "__init__.pyi"]
    yield from wanted.first([*_suffixed(module, (".py", ".pyi")), *own] if named else own)
    if names and wanted.look.is_folder(module):
        for name in names:
            yield from _python_files(module / name, wanted, (), named=True)


_JS_SUFFIXES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte")
_JS_COMPILED = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}


def _javascript(wanted: Wanted) -> Iterator[Path]:
    """A relative path, with or without suffix; ``./x.js`` may be written in TypeScript."""
    module = Path(os.path.normpath(wanted.path.parent / wanted.target))
    candidates = [module / f"index{suffix}" for suffix in (*_JS_SUFFIXES, ".d.ts")]
    if wanted.target.rstrip("/").rpartition("/")[2] not in {".", ".."}:
        compiled = map(module.with_suffix, _JS_COMPILED.get(module.suffix, ()))
        added = _suffixed(module, (*_JS_SUFFIXES, ".d.ts"))
        candidates = [module, *compiled, *added, *candidates]
    return wanted.first(candidates)


_GO_MODULE = re.compile(r"^module[ \t]+(\S+)", re.MULTILINE)


def _go(wanted: Wanted) -> Iterator[Path]:
    """A package below the module that the nearest ``go.mod`` names; not its tests."""
    go_mod = next(wanted.first(folder / "go.mod" for folder in wanted.folders()), None)
    if go_mod is None:
        return
    module = _GO_MODULE.search(wanted.look.text(go_mod))
    if module and f"{wanted.target}/".startswith(f"{module[1]}/"):
        package = go_mod.parent / wanted.target[len(module[1]) :].lstrip("/")
        yield from (f for f in wanted.files_of(package, ".go") if not f.stem.endswith("_test"))


def _rust(wanted: Wanted) -> Iterator[Path]:
    """``mod x``, ``crate::a::b``, ``self::a``, ``super::a``; names may be modules or items."""
    path = wanted.path
    own = path.parent if path.stem in {"mod", "lib", "main"} else path.with_suffix("")
    if wanted.target.startswith("mod "):
        yield from _rust_module(own / wanted.target[4:], wanted)
        return
    start, *parts = wanted.target.split("::")
    base = {"self": own, "super": own.parent}.get(start) or _rust_crate(wanted)
    while parts and parts[0] == "super":
        base, parts = base.parent, parts[1:]
    for name in wanted.names:
        yield from _rust_module(base.joinpath(*parts, name), wanted)
    prefixes = (base.joinpath(*parts[:count]) for count in range(len(parts), 0, -1))
    yield from wanted.first(f for prefix in prefixes for f in _rust_module(prefix, wanted))


def _rust_module(module: Path, wanted: Wanted) -> Iterator[Path]:
    return wanted.first([*_suffixed(module, (".rs",)), module / "mod.rs"])


def _rust_crate(wanted: Wanted) -> Path:
    """The source folder of the nearest ``Cargo.toml``; without one, of the workspace."""
    manifests = wanted.first(folder / "Cargo.toml" for folder in wanted.folders())
    manifest = next(manifests, wanted.root / "x")
    return manifest.parent / "src"


def _include(wanted: Wanted) -> Iterator[Path]:
    """Beside the including file, then further up, in ``include`` and ``src`` folders too."""
    return wanted.first(
        Path(os.path.normpath(folder / below / wanted.target))
        for folder in wanted.folders()
        for below in ("", "include", "src")
    )


_JVM_SUFFIXES = (".java", ".kt", ".scala")
_JVM_SOURCES = ("", *(f"src/main/{name}" for name in ("java", "kotlin", "scala")))


def _java(wanted: Wanted) -> Iterator[Path]:
    """A class of a package below any source folder; ``a.b.C.member`` means the class."""
    *package, name = wanted.target.split(".")
    bases = [folder / below for folder in wanted.folders() for below in _JVM_SOURCES]
    if name == "*":
        listed = (
            wanted.files_of(base.joinpath(*package), s) for base in bases for s in _JVM_SUFFIXES
        )
        yield from next(filter(None, listed), [])
    else:
        classes = (base.joinpath(*parts) for base in bases for parts in ((*package, name), package))
        yield from wanted.first(file for path in classes for file in _suffixed(path, _JVM_SUFFIXES))


_FINDERS: Mapping[ImportSyntax, Callable[[Wanted], Iterator[Path]]] = {
    ImportSyntax.PYTHON: _python,
    ImportSyntax.JAVASCRIPT: _javascript,
    ImportSyntax.GO: _go,
    ImportSyntax.RUST: _rust,
    ImportSyntax.INCLUDE: _include,
    ImportSyntax.JAVA: _java,
}
