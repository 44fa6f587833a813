"""Makes the training corpus: permissively licensed source code, cleaned, each file once.

The packages of sources.toml are downloaded (what is there already is not), their licences
compared with the list, and their files filtered. FOLDER/documents.jsonl then has a line for each
file::

    {"source": "pypi", "version": "1.0", "licence": "MIT", "repo": "NAME", "path": "name/a.py",
     "language": "python", "text": "...", "held_out": false}

The files of a package are together, imported ones before their importers. What is held out is for
evaluation: whole packages, as the list says, and of the rest every file for which
sha256("repo/path") is divisible by HELD_OUT_OF. FOLDER/manifest.json says what came from where and
what was dropped. The same archives, evaluation files, seed and version of Python give the same
documents.

Run ``python -P -m midfill.recipes.corpus.make --help``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from midfill.recipes.corpus import filters
from midfill.recipes.corpus.decontamination import Evaluation, read_evaluation
from midfill.recipes.corpus.duplicates import Seen
from midfill.recipes.corpus.manifest import Tally, manifest, write_manifest
from midfill.recipes.corpus.order import related_first, sampled
from midfill.recipes.corpus.packages import Package, read_package
from midfill.recipes.corpus.sources import (
    PACKAGES,
    CorpusError,
    PackageSource,
    download,
    read_sources,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HELD_OUT_OF = 128
OVER_SHARE = "over the package's share"


@dataclass(frozen=True, slots=True)
class Clean:
    """A file that passed every filter."""

    text: str
    masks: int
    """Addresses, keys and PEM blocks that were replaced."""


class Corpus:
    """Chooses documents, package by package; what was chosen before decides what is new."""

    def __init__(self, evaluation: Evaluation, seed: int) -> None:
        self._evaluation = evaluation
        self._seen = Seen(seed)

    def documents(
        self, source: PackageSource, package: Package, tally: Tally
    ) -> Iterator[dict[str, Any]]:
        """The documents of a package in their final order; the tally counts them and the rest."""
        if package.licence != source.licence:
            found = package.licence or "none that is permissive"
            tally.refused = f"licence is {found}, expected {source.licence}"
            return
        chosen = self._choose(source, package, tally)
        for path in related_first({path: clean.text for path, clean in chosen.items()}):
            document = {
                "source": source.ecosystem,
                "version": source.version,
                "licence": source.licence,
                "repo": source.name,
                "path": path,
                "language": filters.language_of(path),
                "text": chosen[path].text,
                "held_out": source.held_out or _by_chance(source.name, path),
            }
            tally.add(document, chosen[path].masks)
            yield document

    def _choose(self, source: PackageSource, package: Package, tally: Tally) -> dict[str, Clean]:
        chosen: dict[str, Clean] = {}
        size = 0
        for path in sampled(package.files):
            fault, clean = OVER_SHARE, None
            if size < source.most_bytes:
                fault, clean = self._judge(path, package)
            if clean is None:
                tally.dropped[fault] += 1
            else:
                chosen[path] = clean
                size += len(clean.text.encode())
        return chosen

    def _judge(self, path: str, package: Package) -> tuple[str, Clean | None]:
        raw = package.files[path]
        fault = "other licence" if package.excluded.has(path) else filters.path_fault(path)
        fault = fault or filters.size_fault(len(raw))
        if fault:
            return fault, None
        text = filters.decoded(raw)
        if text is None:
            return "not UTF-8", None
        language = filters.language_of(path)
        assert language, path
        text, masks = filters.masked(text)
        fault = (
            filters.text_fault(text, language)
            or self._evaluation.fault(text)
            or self._seen.fault(text)
        )
        return (fault, None) if fault else ("", Clean(text, masks))


def make(
    sources: Sequence[PackageSource],
    archives: Mapping[PackageSource, Path | None],
    out: Path,
    evaluation: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Write ``out``/documents.jsonl and ``out``/manifest.json; both appear when they are whole.

    Args:
        sources: In the order in which they are read.
        archives: The archive of each source.
        out: An existing folder.
        evaluation: What must not be in the corpus.
        seed: The seed of MinHash.

    Returns:
        The manifest.

    Raises:
        CorpusError: an archive is broken.
    """
    corpus = Corpus(evaluation, seed)
    tallies = []
    digest = hashlib.sha256()
    partial = out / "documents.jsonl.partial"
    with partial.open("wb") as file:
        for source in track(sources, "reading", console=Console(stderr=True)):
            package = read_package(source, archives[source])
            tally = Tally(source.ecosystem, source.name, source.version, package.licence)
            tallies.append(tally)
            for document in corpus.documents(source, package, tally):
                line = json.dumps(document, ensure_ascii=False).encode() + b"\n"
                digest.update(line)
                file.write(line)
    content = manifest(
        tallies,
        seed=seed,
        sha256=digest.hexdigest(),
        problems=evaluation.problems,
        held_out=[source.name for source in sources if source.held_out],
    )
    partial.rename(out / "documents.jsonl")
    write_manifest(out / "manifest.json", content)
    return content


def fetch(
    sources: Sequence[PackageSource], downloads: Path, *, allow_missing: bool
) -> dict[PackageSource, Path | None]:
    """The archive of each source that there is.

    Raises:
        CorpusError: some could not be downloaded, and all of them are needed.
    """
    archives: dict[PackageSource, Path | None] = {}
    failed = []
    for source in track(sources, "downloading", console=Console(stderr=True)):
        try:
            archives[source] = download(source, downloads)
        except CorpusError as error:
            failed.append(str(error))
    if failed and not allow_missing:
        raise CorpusError(
            "\n".join(failed)
            + f"\n{len(failed)} of {len(sources)} packages are missing. Run it again, or use "
            "--allow-missing for a corpus without them."
        )
    return archives


def main(arguments: list[str] | None = None) -> int:
    """Make the corpus; the exit code is 1 if that is not possible."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        evaluation = read_evaluation(options.evaluation)
        sources = [s for s in read_sources(options.sources) if s.ecosystem not in options.without]
        options.out.mkdir(parents=True, exist_ok=True)
        archives = fetch(sources, options.out / "downloads", allow_missing=options.allow_missing)
        there = [source for source in sources if source in archives]
        content = make(there, archives, options.out, evaluation, options.seed)
    except (CorpusError, OSError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    for row in content["packages"]:
        if "refused" in row:
            console.print(f"{row['name']} is not used: {row['refused']}", markup=False)
    console.print_json(json.dumps({**content, "packages": len(content["packages"])}))
    return 0


def _by_chance(repo: str, path: str) -> bool:
    digest = hashlib.sha256(f"{repo}/{path}".encode()).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_OF == 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -P -m midfill.recipes.corpus.make", description="Make the training corpus."
    )
    parser.add_argument(
        "--out", "-o", type=Path, required=True, help="folder for the corpus and the downloads"
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="infilling problems (JSON lines, gzip or plain) that must not be in the corpus",
    )
    parser.add_argument(
        "--sources", type=Path, default=PACKAGES, help="the list of packages (TOML)"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=("python", "pypi", "npm", "debian"),
        help="leave an ecosystem out; may be given more than once",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="go on if packages cannot be downloaded"
    )
    parser.add_argument("--seed", type=int, default=0, help="of MinHash (default: 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
