"""What ``make demo`` promises, on the real weights."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "primes.py"
ADAPTER = ROOT / "weights" / "adapters" / "midfill-135m"


@pytest.mark.real_model
def test_the_demo_ends_with_a_program_that_works(real_model_path: Path, tmp_path: Path) -> None:
    """Each token of it had a probability over 0.6, so that rounding elsewhere changes nothing."""
    copy = tmp_path / "primes.py"
    shutil.copy(EXAMPLE, copy)
    command = (sys.executable, "-P", "-m", "midfill.cli", "infill", str(copy))
    model = ("--model", str(real_model_path), "--adapter", str(ADAPTER))  # the default one
    options = ("--marker", "# <hole>", "--write", "--stream")
    done = subprocess.run([*command, *model, *options], check=True, capture_output=True, text=True)
    prefix, _, suffix = EXAMPLE.read_text(encoding="utf-8").partition("# <hole>")
    assert copy.read_text(encoding="utf-8") == prefix + done.stdout + suffix
    assert runpy.run_path(str(copy))["primes_below"](20) == [2, 3, 5, 7, 11, 13, 17, 19]
