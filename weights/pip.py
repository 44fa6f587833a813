"""One wheel from the Python package index, through the user's own pip and its configuration.

Proxies, mirrors, certificates and credentials are what pip is already set up with; pip itself
checks the wheel's hash, and everything that it writes goes below one folder of the caller's.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from midfill.weights.errors import PullError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL_S = 0.1

MAIN = """
import os, runpy, threading

def end_with_parent():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""What the child runs: pip, until its standard input ends because we were killed. An orphan would
go on writing into a folder that the next pull removes."""

OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
)


def download_wheel(
    requirement: str, wheel_sha256: str, folder: Path, on_poll: Callable[[], None]
) -> Path:
    """The wheel, alone and with its hash checked, somewhere below ``folder``.

    Args:
        requirement: Pinned, ``name==version``.
        wheel_sha256: What pip must find the wheel to have.
        folder: An existing one, for pip's temporary files too.
        on_poll: Called ten times a second while pip runs.

    Raises:
        PullError: this interpreter has no pip, or pip failed; the message says what to do.
    """
    if importlib.util.find_spec("pip") is None:
        raise PullError(
            f"the Python at {sys.executable} has no pip to download {requirement} with; "
            f"run `{sys.executable} -m ensurepip` and try again."
        )
    wanted, wheels = folder / "requirements.txt", folder / "wheels"
    wanted.write_text(f"{requirement} --hash=sha256:{wheel_sha256}\n", "utf-8")
    code, said = run(["download", *OPTIONS, f"--dest={wheels}", f"-r{wanted}"], folder, on_poll)
    found = list(wheels.glob("*.whl"))
    if code != 0 or len(found) != 1:
        raise PullError(
            f"pip could not download {requirement}: {_reason(said)}\n"
            "Check the network, and pip's index and proxy with `python -m pip config list`."
        )
    return found[0]


def run(arguments: list[str], folder: Path, on_poll: Callable[[], None]) -> tuple[int, str]:
    """Pip's exit code and its output; pip is killed if an exception ends the wait.

    ``-P`` keeps a folder named ``pip`` in the current one from being run in its place.
    """
    temporary, log = folder / "tmp", folder / "pip.log"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", MAIN, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            code = _wait(process, on_poll)
        finally:
            process.kill()
            process.communicate()
    return code, log.read_text("utf-8", errors="replace")


def _wait(process: subprocess.Popen[bytes], on_poll: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(timeout=POLL_S)
        except subprocess.TimeoutExpired:
            on_poll()


def _reason(said: str) -> str:
    """Pip's last error, or the last thing that it said."""
    lines = [line.strip() for line in said.split("\n") if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it said nothing"])[-1]
