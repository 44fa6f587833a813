"""A process that is killed while it replaces a user's file: the file is the old or the new one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from amount import amount
from repository import SUPPORT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_kill_at_any_step_leaves_a_whole_file(tmp_path: Path) -> None:
    """And the next write removes what killed ones left beside it."""
    script = SUPPORT / "attack" / "killed_writer.py"
    command = [sys.executable, "-P", script, tmp_path / "a.py", str(amount(5, 1))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) > 20
