"""Python's view of C's structures."""

from __future__ import annotations

import ctypes
import re

import pytest

from midfill.engine.kernels.bindings import CCache, CDecoder, CLayer, CMatrix
from midfill.engine.kernels.build import SOURCES

STRUCTURES = {"matrix": CMatrix, "layer": CLayer, "decoder": CDecoder, "cache": CCache}


def fields_in_c(name: str) -> list[str]:
    """The fields of a structure of ``midfill.h``, in order."""
    header = (SOURCES / "midfill.h").read_text(encoding="utf-8")
    body = re.search(rf"^struct {name} {{(.*?)^}};", header, re.DOTALL | re.MULTILINE)
    assert body is not None, name
    declarations = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL).split(";")
    return [
        re.findall(r"\w+", field)[-1]
        for declaration in declarations
        for field in declaration.split(",")
        if field.strip()
    ]


@pytest.mark.parametrize("name", STRUCTURES)
def test_python_and_c_have_the_same_fields_in_the_same_order(name: str) -> None:
    """Those of a layer are made from the family's table, so that the table's order counts."""
    structure: type[ctypes.Structure] = STRUCTURES[name]
    assert [field[0] for field in structure._fields_] == fields_in_c(name)
