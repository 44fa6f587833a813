"""What a corpus holds and what was left out, as numbers without any of its text."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(slots=True)
class Tally:
    """Counts of one package while it is read."""

    ecosystem: str
    name: str
    version: str
    licence: str | None
    files: int = 0
    bytes: int = 0
    masked: int = 0
    """Addresses, keys and PEM blocks that were replaced."""
    held_out: int = 0
    """Files that are held out."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Files by the reason why they were dropped."""
    refused: str = ""
    """Why nothing of the package is used."""
    languages: Counter[str] = field(default_factory=Counter)
    """Bytes by language."""

    def add(self, document: dict[str, Any], masks: int) -> None:
        """Count a document that is kept."""
        size = len(document["text"].encode())
        self.files += 1
        self.bytes += size
        self.masked += masks
        self.held_out += document["held_out"]
        self.languages[document["language"]] += size

    def row(self) -> dict[str, Any]:
        """The package's entry in the manifest, without empty fields."""
        fields: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "ecosystem",
                "name",
                "version",
                "licence",
                "files",
                "bytes",
                "masked",
                "held_out",
                "refused",
            )
        }
        fields["dropped"] = dict(sorted(self.dropped.items()))
        return {name: value for name, value in fields.items() if value}


def manifest(
    tallies: Sequence[Tally], *, seed: int, sha256: str, problems: int, held_out: Sequence[str]
) -> dict[str, Any]:
    """The whole manifest.

    Args:
        tallies: One for each package, in the order of the list.
        seed: The seed of MinHash.
        sha256: The hash of documents.jsonl.
        problems: Evaluation problems that the corpus was compared with.
        held_out: Packages that are held out as a whole.
    """
    dropped = _summed(tally.dropped for tally in tallies)
    languages = _summed(tally.languages for tally in tallies)
    total = sum(languages.values())
    return {
        "seed": seed,
        "documents_sha256": sha256,
        "files": sum(tally.files for tally in tallies),
        "bytes": total,
        "masked": sum(tally.masked for tally in tallies),
        "held_out_files": sum(tally.held_out for tally in tallies),
        "held_out_packages": sorted(held_out),
        "decontamination": {
            "problems": problems,
            "dropped": {reason: n for reason, n in dropped.items() if "evaluation" in reason},
        },
        "dropped": dict(sorted(dropped.items())),
        "languages": {
            language: {"bytes": size, "percent": round(100 * size / total, 2)}
            for language, size in languages.most_common()
        },
        "packages": [tally.row() for tally in tallies],
    }


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """JSON with a line for each package, so that two manifests can be compared line by line."""
    packages = content["packages"]
    head = json.dumps(content | {"packages": []}, indent=1).removesuffix("[]\n}")
    rows = ",\n".join("  " + json.dumps(row) for row in packages)
    path.write_text(f"{head}[\n{rows}\n ]\n}}\n", "utf-8")


def _summed(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
