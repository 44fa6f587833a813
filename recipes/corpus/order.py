"""The order of a package's files: a folder together, and what is imported before its importers."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

IMPORT = re.compile(r"^\s*(?:from|import|export|use|mod|#\s*include)\b(.*)$", re.MULTILINE)
NAME = re.compile(r"[\w-]+")
SHARE_DEPTH = 3
"""Folders that are taken or left as a whole where a package has more text than its share."""


def related_first(texts: Mapping[str, str]) -> list[str]:
    """The paths, folder by folder; in a folder a file comes after those that it imports.

    An import is any line that starts like one and has the name of a neighbour without its suffix,
    whatever the language. Cycles are broken where the alphabet first enters them.
    """
    folders: dict[str, dict[str, str]] = {}
    for path in sorted(texts):
        pure = PurePosixPath(path)
        folders.setdefault(str(pure.parent), {}).setdefault(pure.stem, path)
    ordered = [
        path for folder in sorted(folders) for path in _imported_first(folders[folder], texts)
    ]
    # Files of one stem (x.h and x.c) share a name: the later ones follow behind the first.
    left = sorted(set(texts) - set(ordered))
    for path in left:
        pure = PurePosixPath(path)
        ordered.insert(ordered.index(folders[str(pure.parent)][pure.stem]) + 1, path)
    return ordered


def sampled(paths: Iterable[str]) -> list[str]:
    """The paths in the order in which a package's share is filled: folder by folder, by hash."""
    return sorted(paths, key=lambda path: (_digest(_top(path)), _top(path), path))


def _imported_first(stems: Mapping[str, str], texts: Mapping[str, str]) -> Iterator[str]:
    done: set[str] = set()
    for root in stems:
        stack = [(root, iter(_neighbours(root, stems, texts)))] if root not in done else []
        done.add(root)
        while stack:
            stem, imports = stack[-1]
            deeper = next((name for name in imports if name not in done), None)
            if deeper is None:
                stack.pop()
                yield stems[stem]
            else:
                done.add(deeper)
                stack.append((deeper, iter(_neighbours(deeper, stems, texts))))


def _neighbours(stem: str, stems: Mapping[str, str], texts: Mapping[str, str]) -> list[str]:
    lines = IMPORT.findall(texts[stems[stem]])
    named = {name for line in lines for name in NAME.findall(line)}
    return sorted((named & stems.keys()) - {stem})


def _top(path: str) -> str:
    return "/".join(path.split("/")[:-1][:SHARE_DEPTH])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
