"""What a report says of the machine."""

from __future__ import annotations

import os
import sys

import pytest

from midfill.recipes.reports.machine import about, resident


def test_a_report_says_when_on_what_and_with_what() -> None:
    """A figure without these cannot be compared with another."""
    head = about(2)
    assert {"date", "machine", "processor", "cores", "python", "torch", "midfill"} < head.keys()
    assert head["threads"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_what_a_process_holds_is_at_most_what_it_held() -> None:
    """This process has at least the interpreter."""
    size = resident(os.getpid())
    assert size is not None
    assert 5 < size.now <= size.peak


def test_of_a_process_that_is_not_there_nothing_is_known() -> None:
    """As on systems that do not tell."""
    assert resident(2**31 - 1) is None
