"""``python wheels.py FOLDER SERVER``: small wheels named midfill, for the set-up to install.

FOLDER/whole has one whose server is the script SERVER, run by this Python; FOLDER/wanting has one
that needs a package which no index has.
"""

import sys
from pathlib import Path
from zipfile import ZipFile

INFO = "midfill-9.9.9.dist-info"
WHEEL = "Wheel-Version: 1.0\nGenerator: midfill\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = "Metadata-Version: 2.1\nName: midfill\nVersion: 9.9.9\n"
CLI = "import os, sys\nos.execv({python!r}, [{python!r}, {server!r}, *sys.argv[1:]])\n"


def make(folder: Path, files: dict[str, str], needs: str = "") -> None:
    """Write a wheel with these files."""
    folder.mkdir()
    with ZipFile(folder / "midfill-9.9.9-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{INFO}/WHEEL", WHEEL)
        wheel.writestr(f"{INFO}/METADATA", METADATA + needs)
        wheel.writestr(f"{INFO}/RECORD", "")


def main(folder: str, server: str) -> None:
    """Write both."""
    cli = CLI.format(python=sys.executable, server=server)
    packages = ("midfill",)
    files = {f"{name}/__init__.py": "" for name in packages} | {"midfill/cli.py": cli}
    make(Path(folder, "whole"), files)
    make(Path(folder, "wanting"), {}, "Requires-Dist: midfill-needs-this\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
