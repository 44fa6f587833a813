"""Grammars of tree-sitter by language id, each loaded when it is first asked for.

::

    parser_of(language_id) -> Parser | None     None: there is no grammar for it
"""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Parser

logger = logging.getLogger(__name__)

_GRAMMARS = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "javascriptreact": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "typescriptreact": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "shellscript": ("tree_sitter_bash", "language"),
}
"""Package and function, by language id."""


def parser_of(language_id: str) -> Parser | None:
    """A parser of its own for each caller: parsers are not shared between threads."""
    grammar = _grammar(language_id)
    if grammar is None:
        return None
    from tree_sitter import Parser

    return Parser(grammar)


@cache
def _grammar(language_id: str) -> Language | None:
    if language_id not in _GRAMMARS:
        return None
    package, function = _GRAMMARS[language_id]
    try:
        from tree_sitter import Language

        return Language(getattr(import_module(package), function)())
    except (ImportError, AttributeError, ValueError) as error:  # not there, or for another version
        logger.warning("the syntax of %s is not judged: %s", language_id, error)
        return None
