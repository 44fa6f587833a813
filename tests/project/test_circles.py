"""No file needs itself by way of others: imports, also those for types only, and includes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest
from repository import ROOT
from source_tree import find_circle, parsed, product_sources, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from source_tree import Sources

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def import_circle(sources: Sources) -> list[str]:
    """Modules that import each other in a circle; imports inside functions and for types count."""
    modules = {module_of(name): text for name, text in sources.items()}
    packages = {module_of(name) for name in sources if name.endswith("__init__.py")}
    return find_circle(
        {
            module: {
                found
                for name in imported(text, module if module in packages else parent(module))
                if (found := known(name, modules)) not in {None, module}
            }
            for module, text in modules.items()
        }
    )


def module_of(name: str) -> str:
    """The name that a file of the repository is imported by."""
    return f"midfill.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"


def parent(module: str) -> str:
    """The package that a module is in."""
    return module.rpartition(".")[0]


def imported(text: str, package: str) -> Iterator[str]:
    """All that a file of a package imports: modules, or what is taken from them, by full names."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level])
            source = ".".join(filter(None, (above if node.level else "", node.module)))
            yield from (f"{source}.{alias.name}" for alias in node.names)


def known(name: str, modules: Sources) -> str | None:
    """The module that a full name is, or is in; None if it is not ours."""
    while name and name not in modules:
        name = parent(name)
    return name or None


def include_circle(sources: Sources) -> list[str]:
    """C files of one folder that include each other in a circle."""
    return find_circle({name: INCLUDE.findall(text) for name, text in sources.items()})


def test_no_module_imports_itself_by_way_of_others() -> None:
    """All five packages, in one graph."""
    assert import_circle(product_sources()) == []


FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from midfill.engine.b import f", "from midfill.engine import a"),
        ("import midfill.engine.b", "def f():\n    import midfill.engine.a as other"),
        ("from . import b", "from .a import f"),
        (f"{FOR_TYPES}from midfill.engine.b import T", f"{FOR_TYPES}from ..engine.a import T"),
    ],
)
def test_a_circle_of_imports_is_found(first: str, second: str) -> None:
    """However they are written, and nothing else is taken for one."""
    files = {"engine/__init__.py": "", "engine/a.py": first, "engine/b.py": second}
    circle = import_circle(files)
    assert set(circle) == {"midfill.engine.a", "midfill.engine.b"}
    assert import_circle(files | {"engine/b.py": "import torch, midfill.engine.c"}) == []


def test_a_circle_through_a_package_is_found() -> None:
    """What a package's own file imports may not take names from the package."""
    files = {
        "engine/__init__.py": "from midfill.engine.api import Engine",
        "engine/api.py": "from midfill.engine.api.x import y",
    }
    assert import_circle(files) == []
    files["engine/api.py"] = "from midfill.engine import VERSION"
    assert set(import_circle(files)) == {"midfill.engine", "midfill.engine.api"}


def test_no_c_file_includes_itself_by_way_of_others() -> None:
    """Guards would hide it, and which file comes first would decide."""
    files = (ROOT / "engine" / "kernels" / "c").iterdir()
    sources = {path.name: text_of(path) for path in files if path.suffix in {".c", ".h"}}
    assert len(sources) > 10
    assert include_circle(sources) == []


def test_a_circle_of_includes_is_found() -> None:
    """System headers are none of ours."""
    files = {"a.h": '#include <math.h>\n#include "b.h"\n', "b.h": '#pragma once\n# include "c.h"\n'}
    assert include_circle(files | {"c.h": "#include <a.h>\n"}) == []
    assert set(include_circle(files | {"c.h": '#include "a.h"\n'})) == {"a.h", "b.h", "c.h"}
