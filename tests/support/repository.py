"""Where things of this repository are, for tests: none of them counts folders upwards."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent
PACKAGES = ("cli", "engine", "lsp_server", "recipes", "weights")
"""The folders of Python that are installed."""
TEST_DATA = ROOT / "tests" / "data"
SCRIPTED_SERVER = (sys.executable, str(SUPPORT / "scripted_server.py"))
"""A command: the language server over a scripted engine."""
