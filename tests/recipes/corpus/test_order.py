"""The files of a package stand where they help to read the next ones."""

from __future__ import annotations

from midfill.recipes.corpus.order import related_first, sampled


def test_imported_files_come_before_their_importers() -> None:
    """Whichever the alphabet has first; names that are not imported do not count."""
    texts = {
        "shop/a.py": "from .z import total\nfrom shop import m\n",
        "shop/m.py": "import os  # a\nprint('z')\n",
        "shop/z.py": "total = 1\n",
    }
    assert related_first(texts) == ["shop/m.py", "shop/z.py", "shop/a.py"]


def test_folders_stay_together() -> None:
    """An import from another folder moves nothing."""
    texts = {"b/x.py": "", "a/y.py": "from b import x\n", "a/x.py": ""}
    assert related_first(texts) == ["a/x.py", "a/y.py", "b/x.py"]


def test_a_cycle_is_broken_and_every_file_is_there_once() -> None:
    """Headers and sources of one name as well."""
    texts = {"p/a.ts": "import './b'\n", "p/b.ts": "import './a'\n", "p/c.c": "", "p/c.h": ""}
    assert related_first(texts) == ["p/b.ts", "p/a.ts", "p/c.c", "p/c.h"]


def test_a_share_is_filled_folder_by_folder_and_the_same_each_time() -> None:
    """The order of the folders is a hash's, that of their files the alphabet's."""
    paths = [f"{folder}/{name}.py" for folder in "abcdef" for name in "xyz"]
    order = sampled(reversed(paths))
    assert order == sampled(paths)
    assert sorted(order) == paths
    assert order != paths
    folders = [path[0] for path in order]
    assert all(len(set(folders[i : i + 3])) == 1 for i in range(0, len(folders), 3))
