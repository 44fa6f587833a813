"""What a benchmark ran on and with, and what processes hold in memory."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

_CPUINFO, _STATUS = Path("/proc/cpuinfo"), "/proc/{}/status"
"""Files of Linux; elsewhere what they tell is left out."""
_MIB = 1024
"""KiB, the latter's unit."""


@dataclass(frozen=True, slots=True)
class Resident:
    """Memory of a process, in MiB."""

    now: float
    peak: float
    """MiB at most since its start."""


def about(threads: int | None) -> dict[str, object]:
    """Date, machine and versions, for the head of a report."""
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "midfill": version("midfill"),
        "torch": version("torch"),
    }


def cores() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def opponents_environment() -> dict[str, str]:
    """The environment for other programs: ours, without how we set up OpenMP.

    Waiting without spinning, which midfill asks for, makes llama.cpp write at a third of its speed.
    """
    return {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}


def processor() -> str | None:
    """The processor's name, where the system tells it."""
    with suppress(OSError):
        found = re.search(r"model name\s*: (.*)", _CPUINFO.read_text(encoding="utf-8"))
        return found[1] if found else None
    return None


def resident(process: int) -> Resident | None:
    """What a process holds, or None where the system does not tell."""
    with suppress(OSError):
        status = Path(_STATUS.format(process)).read_text(encoding="utf-8")
        sizes = dict(re.findall(r"(VmRSS|VmHWM):\s*(\d+) kB", status))
        if sizes:
            return Resident(int(sizes["VmRSS"]) / _MIB, int(sizes["VmHWM"]) / _MIB)
    return None
