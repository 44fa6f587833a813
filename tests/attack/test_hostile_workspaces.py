"""A thousand workspaces that nobody should open: each is answered, and nothing leaks from outside.

Each gets a server process of its own. ``make test`` takes the first few seeds, without the clock.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from random import Random

import pytest
from amount import IS_WHOLE, amount
from hostile_workspaces import HostileWorkspace, make, remove
from lsp_client import INVOKED, Client, started
from repository import SUPPORT

from midfill.lsp_server.settings import ContextSettings

SERVER = (sys.executable, "-P", str(SUPPORT / "attack" / "audited_server.py"))
SLACK = float(os.environ.get("MIDFILL_ATTACK_SLACK", "1"))
"""How many times as long a server may wait for a processor, on a machine with other work."""
SHARED = 2.0
"""How many times as long it may compute then, since caches and cores are shared."""
LATEST_S = ContextSettings().time_limit_ms / 1000 + 0.1
"""The engine answers at once, so that gathering context is all that takes time."""
GONE_S = 2.0
TRIES = 3
"""A machine that is busy now and then is no fault: what is late every time is."""


async def attack(workspace: HostileWorkspace, report: Path, random: Random) -> list[str]:
    """Open the workspace in an editor, ask, leave; what came too late."""
    late: list[str] = []
    command = (*SERVER, str(workspace.outside), str(report), "lsp")
    folders = [{"uri": workspace.root.as_uri(), "name": "work"}]
    pipe = asyncio.subprocess.PIPE
    cwd = workspace.documents[0][0].parent
    async with started(*command, cwd=cwd, stderr=pipe) as (client, process):
        draining = asyncio.create_task(process.stderr.read())
        await client.initialize(workspaceFolders=folders, rootUri=folders[0]["uri"])
        await client.ready()
        for path, language, text in workspace.documents:
            client.open(text, path.as_uri(), language)
            await client.request("midfill/stats")
        for path, _, text in workspace.documents:
            for _ in range(2):
                late += await ask(client, process.pid, path, text, random)
        client.start("shutdown")
        left_at = time.monotonic()
        client.notify("exit")
        assert await process.wait() == 0
        if time.monotonic() - left_at > SLACK * GONE_S:
            late.append(f"gone after {time.monotonic() - left_at:.1f} s")
        await draining
    return late


async def ask(client: Client, server: int, path: Path, text: str, random: Random) -> list[str]:
    """Ask once, at the end or anywhere; what came too late."""
    lines = text.split("\n")
    row = random.choice((len(lines) - 1, random.randrange(len(lines))))
    asked_at, used = time.monotonic(), cpu_seconds(server)
    reply = await client.complete(row, len(lines[row]), kind=INVOKED, uri=path.as_uri())
    waited, computed = time.monotonic() - asked_at, cpu_seconds(server) - used
    seconds = max(waited / SLACK, computed / min(SLACK, SHARED))
    assert reply is None or "items" in reply
    return [f"line {row} of {path.name} took {seconds:.3f} s"] if seconds > LATEST_S else []


def cpu_seconds(process: int) -> float:
    """How long it has computed, if the system says so."""
    stat = Path(f"/proc/{process}/stat")
    fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["0"] * 13
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("seed", range(amount(16, 1000)))
async def test_a_hostile_workspace_neither_freezes_nor_leaks(seed: int, tmp_path: Path) -> None:
    """Every request is answered, in time; nothing outside is opened; the process goes."""
    workspace = make(Random(seed), tmp_path)
    report = tmp_path / "report"
    for attempt in range(TRIES):
        late = await attack(workspace, report, Random(f"{seed} {attempt}"))
        assert report.read_text() == "", workspace.attacks
        if not late or not IS_WHOLE:
            break
    assert not late or not IS_WHOLE, (workspace.attacks, late)
    remove(tmp_path)
