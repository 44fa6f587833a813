"""How many faults the tests find: ``make mutate`` puts small ones into the rooms of ``TARGETS``.

No file is changed: each mutant is imported in a process of its own, forked from one that has
imported everything but midfill. There the room's tests run until one fails. A mutant that outlives
them is a survivor, unless ``equivalent.toml`` says why no test can tell it from the original.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import mutants
import pytest
from repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

IMPORTED = ("hypothesis.stateful", "lsprotocol.types", "sentencepiece", "tokenizers", "torch")
SAMPLE, SEED = 100, 20
"""Mutants of a room at most, chosen anew only with the seed."""
KILLED, SURVIVED, ENDLESS, EQUIVALENT = "killed", "survived", "endless", "equivalent"
MEMORY_BYTES = 1 << 31
"""What a mutant may take beyond what it begins with."""
OPTIONS = (
    *("-x", "-qq", "-m", "not real_model", "--hypothesis-profile=mutation"),
    *("-p", "no:cacheprovider", "-p", "no:faulthandler"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # plugins were imported before
)
EQUIVALENTS = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Target:
    """Sources, and the tests that have to notice faults in them, the fastest first."""

    sources: str
    """A pattern of paths below the root."""
    tests: tuple[str, ...]


TARGETS = {
    "text": Target(
        "lsp_server/text/*.py",
        ("tests/lsp_server/text", "tests/lsp_server/request/test_display.py"),
    ),
    "healing": Target(
        "engine/tokens/healing.py",
        ("tests/engine/tokens/test_healing.py", "tests/engine/generation/test_spelling.py"),
    ),
    "cache": Target(
        "engine/model/kv_cache.py",
        ("tests/engine/model/test_kv_cache.py", "tests/engine/model/test_prefill.py"),
    ),
    "stopping": Target("engine/stopping/*.py", ("tests/engine/stopping",)),
    "display": Target(
        "lsp_server/request/display.py", ("tests/lsp_server/request/test_display.py",)
    ),
}


@dataclass(frozen=True)
class Planted:
    """A mutant and where it is."""

    path: str
    mutant: mutants.Mutant

    def __str__(self) -> str:
        return f"{self.path}:{self.mutant}"

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by: no line, so that it stays when others move."""
        return self.path, f"{self.mutant.before} -> {self.mutant.after}"


class _Mutated(SourceFileLoader):
    """Finds and loads one module with the fault in it."""

    def __init__(self, planted: Planted) -> None:
        self._path = ROOT / planted.path
        self._tree = planted.mutant.tree()
        name = ".".join(("midfill", *Path(planted.path).with_suffix("").parts))
        super().__init__(name.removesuffix(".__init__"), str(self._path))

    def find_spec(self, name: str, *_: object) -> object:
        """The spec of that module, and of no other."""
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, [str(self._path.parent)])
        assert spec is not None, name
        spec.loader = self
        return spec

    def get_code(self, _: str) -> CodeType:
        """The mutated code; nothing of it is cached."""
        return compile(self._tree, str(self._path), "exec")


def planted(target: Target) -> list[Planted]:
    """All mutants of a target."""
    paths = sorted(ROOT.glob(target.sources))
    return [
        Planted(str(path.relative_to(ROOT)), mutant)
        for path in paths
        for mutant in mutants.mutants(path.read_text("utf-8"))
    ]


def fate(tests: Sequence[str], mutant: Planted | None, timeout_s: float, cpu_s: int = 600) -> str:
    """What becomes of a mutant (None: of the original) under its tests."""
    child = os.fork()
    if not child:
        _run(tests, mutant, cpu_s)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            return ENDLESS
        if done:
            return KILLED if status else SURVIVED
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return ENDLESS


def _run(tests: Sequence[str], mutant: Planted | None, cpu_s: int) -> None:
    """The forked process: run tests, those that mirror the source first; end with their status."""
    status = 70
    try:
        os.setpgid(0, 0)
        if mutant is not None:
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
        if mutant is not None:
            sys.meta_path.insert(0, _Mutated(mutant))  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        mirror = mutant and _mirror(mutant.path)
        with contextlib.chdir(ROOT):
            status = int(pytest.main([mirror, *OPTIONS])) if mirror else 0
            status = status or int(pytest.main([*tests, *OPTIONS]))
    finally:
        os._exit(status)


def _mirror(path: str) -> str | None:
    """The tests beside others of the room that have a source's name."""
    source = Path(path)
    tests = Path("tests", source.parent, f"test_{source.stem}.py")
    return str(tests) if (ROOT / tests).exists() else None


def equivalents() -> dict[tuple[str, str], str]:
    """Why mutants cannot be told from the original, by their keys."""
    rows = tomllib.loads(EQUIVALENTS.read_text("utf-8"))["equivalent"]
    return {(row["path"], row["mutant"]): row["why"] for row in rows}


def examine(name: str, sample: int, limit_s: float) -> Counter[str]:
    """Count the fates of a target's mutants, in any order until time is up; name the survivors."""
    target, known = TARGETS[name], equivalents()
    start, cpu_start = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    original = fate(target.tests, None, 300)
    if original != SURVIVED:
        sys.exit(f"{name}: its tests fail without any fault in it: {' '.join(target.tests)}")
    timeout_s = 60 + 10 * (time.monotonic() - start)  # of a machine that does other things, too
    cpu_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - cpu_start
    every = planted(target)
    chosen = random.Random(SEED).sample(every, min(sample, len(every)))
    fates: Counter[str] = Counter()
    for each in chosen:
        if time.monotonic() - start > limit_s:
            break
        result = (
            EQUIVALENT
            if each.key in known
            else fate(target.tests, each, timeout_s, 4 + int(3 * cpu_s))
        )
        fates[result] += 1
        if result == SURVIVED:
            _say(f"survived  {each}")
    judged = fates.total() - fates[EQUIVALENT]
    killed = fates[KILLED] + fates[ENDLESS]
    _say(
        f"{name}: {killed} of {judged} killed, {100 * killed / judged:.1f} %; "
        f"{fates[ENDLESS]} of them endless; {fates[EQUIVALENT]} more are equivalent; "
        f"{fates.total()} of {len(every)} mutants in {time.monotonic() - start:.0f} s"
    )
    return fates


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Examine targets; exit with 1 if one has fewer killed than it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each, at most")
    parser.add_argument("--at-least", type=float, default=85.0, help="percent killed")
    args = parser.parse_args()
    os.nice(10)
    hypothesis.settings.register_profile(
        "mutation",
        deadline=None,
        max_examples=50,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    for module in IMPORTED:
        importlib.import_module(module)
    for plugin in metadata.entry_points(group="pytest11"):
        plugin.load()
    low = []
    for name in args.targets:
        fates = examine(name, args.sample, 60 * args.minutes)
        judged = fates.total() - fates[EQUIVALENT]
        if 100 * (fates[KILLED] + fates[ENDLESS]) < args.at_least * judged:
            low.append(name)
    if low:
        sys.exit(f"under {args.at_least:g} %: {', '.join(low)}")


if __name__ == "__main__":
    main()
