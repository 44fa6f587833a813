"""Classes of the product: one name, one class; and none that has several jobs."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

from source_tree import classes, parsed, product_sources

if TYPE_CHECKING:
    from source_tree import Sources

MOST = 12
"""Methods of a class, and attributes."""
SETTINGS = ("lsp_server/settings.py", "recipes/training/config.py")
"""Tables of options, as long as there are options; so is each ``settings.py`` of the recipes."""
REASONS = {
    "weights/architecture.py:LlamaArchitecture": "a checkpoint's table of sizes, frozen",
    "lsp_server/completion/stats.py:Stats": "a record of counters, as long as there is to count",
    "engine/model/llama.py:LayerWeights": "a layer's tensors by their names, frozen",
    "weights/formats/strict.py:Metadata": "a method for each kind of value that files have",
}
"""Why a class may be larger: five at most."""


def repeated(sources: Sources) -> dict[str, list[str]]:
    """Public classes that several files define, with the files."""
    files = defaultdict(list)
    for name, text in sources.items():
        for node in parsed(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(name)
    return {name: places for name, places in files.items() if len(places) > 1}


def large(sources: Sources) -> dict[str, tuple[int, int]]:
    """Classes with more than ``MOST`` methods or attributes, and their numbers."""
    sizes = {
        f"{name}:{node.name}": (len(methods(node)), len(attributes(node)))
        for name, node in classes(sources)
        if not is_table(name, node)
    }
    return {name: size for name, size in sizes.items() if max(size) > MOST}


def methods(node: ast.ClassDef) -> set[str]:
    """Names of its own methods, properties and special ones included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {statement.name for statement in node.body if isinstance(statement, kinds)}


def attributes(node: ast.ClassDef) -> set[str]:
    """Names that are annotated in the class, or that its methods store in self."""
    annotated = {
        statement.target.id
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    stored = {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.ctx, ast.Store)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
    }
    return annotated | stored


def is_table(name: str, node: ast.ClassDef) -> bool:
    """Whether it is a list of options, or a frozen value of the engine's boundary."""
    is_recipe = name.startswith("recipes/") and name.endswith("/settings.py")
    is_frozen = any("frozen=True" in ast.unparse(each) for each in node.decorator_list)
    return name in SETTINGS or is_recipe or (name == "engine/api.py" and is_frozen)


def test_no_two_public_classes_have_one_name() -> None:
    """Who reads the one would take it for the other."""
    assert repeated(product_sources()) == {}


def test_a_class_that_is_there_twice_is_found() -> None:
    """Private ones, and those inside others, are nobody else's business."""
    files = {
        "engine/a.py": "class Model: ...\nclass _Part: ...\nclass Other:\n    class State: ...\n",
        "engine/b.py": "class Plan: ...\nclass _Part: ...\nclass Third:\n    class State: ...\n",
    }
    assert repeated(files) == {}
    files["cli/c.py"] = "class Model: ...\n"
    assert repeated(files) == {"Model": ["engine/a.py", "cli/c.py"]}


def test_no_class_is_large() -> None:
    """Loop, policy and accounts are three things."""
    found = large(product_sources())
    assert {name: size for name, size in found.items() if name not in REASONS} == {}


def test_reasons_are_few_and_needed() -> None:
    """A class that became small loses its reason."""
    assert len(REASONS) <= 5
    assert REASONS.keys() <= large(product_sources()).keys()


def made_up(names: int, stored: int, frozen: str = "") -> str:
    """The text of a class with so many methods, all properties, and attributes in each way."""
    lines = [f"{frozen}\nclass Made:", *(f"    a{n}: int = 0" for n in range(names - stored))]
    for n in range(names):
        lines += ["    @property", f"    def m{n}(self) -> int:", "        self.a0 = other.x = 1"]
        lines += [f"        self.s{n}, y = 1, 2"] * (n < stored)
    return "\n".join(lines)


def test_a_large_class_is_found() -> None:
    """By its methods and by its attributes, however these come to it."""
    assert large({"engine/a.py": made_up(MOST, 5)}) == {}
    assert large({"engine/a.py": made_up(MOST + 1, 5)}) == {"engine/a.py:Made": (13, 13)}
    inner = "class Outer:\n" + "".join(f"    a{n}: int\n" for n in range(13))
    assert large({"cli/b.py": f"def f():\n    class Small: ...\n{inner}"}) == {
        "cli/b.py:Outer": (0, 13)
    }


def test_tables_may_be_long() -> None:
    """Options wherever they are listed; of the boundary only what is frozen."""
    text = made_up(20, 0)
    assert large({"recipes/long_context/settings.py": text, SETTINGS[0]: text}) == {}
    assert large({"cli/settings.py": text, "engine/api.py": text}).keys() == {
        "cli/settings.py:Made",
        "engine/api.py:Made",
    }
    frozen = made_up(20, 0, "@dataclass(frozen=True, slots=True)")
    assert large({"engine/api.py": frozen}) == {}
