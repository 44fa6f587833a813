"""Archives of made-up packages, as the registries have them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def code(topic: str, lines: int = 12) -> str:
    """Readable Python; two topics have no line in common."""
    functions = (
        f"def {topic}_{number}(value):\n"
        f"    return {topic}_table[{number}] + value.{topic}_{number}\n"
        for number in range(lines)
    )
    return "\n\n".join(functions)


def write_wheel(path: Path, metadata: str, files: Mapping[str, str]) -> Path:
    """A wheel named shop whose METADATA is the given text."""
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("shop-1.0.dist-info/METADATA", metadata)
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def write_npm(path: Path, licence: str, files: Mapping[str, str]) -> Path:
    """What ``npm pack`` makes: everything below ``package/``."""
    with tarfile.open(path, "w:gz") as packed:
        for name, text in {"package.json": json.dumps({"license": licence}), **files}.items():
            raw = text.encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(raw)
            packed.addfile(member, io.BytesIO(raw))
    return path
