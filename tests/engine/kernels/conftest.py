"""What tests of the kernels share."""

from __future__ import annotations

import pytest
from processors import compile_all


@pytest.fixture(scope="session", autouse=True)
def _all_processors_are_under_way() -> None:
    """The kernels for other processors are compiled while the first tests run."""
    compile_all()
