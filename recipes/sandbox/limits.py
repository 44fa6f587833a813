"""What a program in the sandbox may use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.options import Option


def mebibytes(text: str) -> int:
    """Bytes from a whole number of MiB, as an argparse type."""
    return int(text) << 20


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one program may use."""

    wall_seconds: Annotated[float, Option("of a program by the clock, at most", "N")] = 20.0
    """Generous, since machines are busy: processor time is what usually ends."""
    cpu_seconds: Annotated[int, Option("of a program on a processor, at most", "N")] = 5
    memory_bytes: Annotated[
        int,
        Option("of address space", "N", flag="--memory-mib", default="1024", parse=mebibytes),
    ] = 1 << 30
    file_bytes: int = 1 << 20
    """The size of each file that it writes, at most."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name, value in asdict(self).items():
            if not value > 0:
                raise InvalidRequestError(f"{name} is {value}; it must be over 0")
