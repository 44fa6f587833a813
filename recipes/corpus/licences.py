"""The licence of a package as an SPDX identifier, from its metadata or its licence's text.

Only what PERMISSIVE lists goes into the corpus; an expression with OR needs one such licence, with
AND all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

PERMISSIVE = {
    name.lower(): name
    for name in (
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "HPND",
        "X11",
        "ISC",
        "0BSD",
        "Zlib",
        "Unlicense",
        "CC0-1.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "Apache-2.0",
        "PSF-2.0",
        "Python-2.0",
        "Python-2.0.1",
        "CNRI-Python",
        "PostgreSQL",
        "curl",
        "NCSA",
        "Unicode",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "BlueOak-1.0.0",
        "LicenseRef-Public-Domain",
    )
}
"""SPDX identifiers by their lower-case spelling."""

ALIASES = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "modified bsd license": "BSD-3-Clause",
    "freebsd": "BSD-2-Clause",
    "go": "BSD-3-Clause",
    "boost": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "bsl-1": "BSL-1.0",
    "expat": "MIT",
    "mit license": "MIT",
    "the mit license": "MIT",
    "the mit license (mit)": "MIT",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "python": "Python-2.0",
    "psf": "PSF-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "public-domain": "LicenseRef-Public-Domain",
    "the unlicense (unlicense)": "Unlicense",
    "cc0": "CC0-1.0",
    "cc0-1": "CC0-1.0",
    "zlib/libpng license": "Zlib",
    "boost software license 1.0 (bsl-1.0)": "BSL-1.0",
    "historical permission notice and disclaimer (hpnd)": "HPND",
    "university of illinois/ncsa open source license": "NCSA",
}
"""What metadata, classifiers and Debian's copyright files write for an SPDX identifier."""

TEXTS = (
    ("Apache-2.0", ("apache license", "version 2.0, january 2004")),
    ("BSL-1.0", ("boost software license - version 1.0",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("PSF-2.0", ("python software foundation license version 2",)),
    ("Zlib", ("altered source versions must be plainly marked as such",)),
    (
        "MIT",
        (
            "permission is hereby granted, free of charge, to any person obtaining",
            "the above copyright notice and this permission notice shall be included",
        ),
    ),
    (
        "ISC",
        (
            "permission to use, copy, modify, and/or distribute this software for any purpose",
            "provided that the above copyright notice and this permission notice appear",
        ),
    ),
    (
        "BSD-3-Clause",
        (
            "redistribution and use in source and binary forms",
            "used to endorse or promote products",
        ),
    ),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
)
"""Sentences that a licence's text has, lower-case and with single spaces; the first match holds."""

AND_OR = re.compile(r"\s+(?:and|or)\s+|\s*,\s*", re.IGNORECASE)
WITH = re.compile(r"\s+with\s+", re.IGNORECASE)
LONGEST_NAME = 100
"""Characters; metadata whose licence is longer hold the licence's text instead of its name."""

FORBIDDEN = (
    "gnu general public",
    "gnu lesser general public",
    "gnu affero",
    "mozilla public license",
    "non-commercial",
    "noncommercial",
    "gnu library general",
)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Tells the files that patterns of a Debian copyright file name, by the end of their paths.

    The patterns are relative to the source package, the paths to where it is installed; so only a
    pattern's last two parts count, which rather excludes too much.
    """

    patterns: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        """Whether a file of the package is excluded."""
        ends = ("/".join(pattern.split("/")[-2:]) for pattern in self.patterns)
        return any(fnmatchcase("/" + path, "*/" + end) for end in ends)


def normal(name: str) -> str | None:
    """The SPDX identifier of one licence's name, or None if that is not a permissive licence."""
    low = " ".join(name.strip().strip("()").lower().partition("~")[0].split())
    return PERMISSIVE.get(low) or ALIASES.get(low) or ALIASES.get(low.removesuffix(" license"))


def from_expression(expression: str) -> str | None:
    """The permissive part of an SPDX expression (or of names joined by and, or, "/"), or None."""
    whole = normal(expression)
    if whole:
        return whole
    outer = re.fullmatch(r"\s*\(([^()]*)\)\s*", expression)
    flat = outer[1] if outer else expression
    # Inside brackets every licence has to be permissive: nothing then depends on the grouping.
    nested = "(" in flat
    choices = [flat] if nested else re.split(r"\s+or\s+|\s*/\s*", flat, flags=re.IGNORECASE)
    for choice in choices:
        parts = [normal(WITH.split(part)[0]) for part in AND_OR.split(choice)]
        if all(parts):
            return " AND ".join(sorted({part for part in parts if part}))
    return None


def from_classifiers(classifiers: list[str]) -> str | None:
    """The licences that trove classifiers name; None unless all are permissive."""
    found = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]
    found = [name for name in found if name != "OSI Approved"]
    names = [normal(name) for name in found]
    return " AND ".join(sorted({n for n in names if n})) if names and all(names) else None


def from_text(text: str) -> str | None:
    """The permissive licence whose sentences a licence file has, or None."""
    flat = re.sub(r"[\s*#>]+", " ", text).lower()
    if any(words in flat for words in FORBIDDEN):
        return None
    for name, sentences in TEXTS:
        if all(sentence in flat for sentence in sentences):
            return name
    return None


def from_debian(copyright_text: str) -> tuple[str | None, tuple[str, ...]]:
    """The licences of a machine-readable Debian copyright file, and what is not under them.

    The second value has the patterns of those files whose licence is not permissive. The licence is
    None if that are all files, or if the copyright file is not machine-readable.
    """
    names: set[str] = set()
    excluded: list[str] = []
    for stanza in re.split(r"\n\s*\n", copyright_text):
        files = re.search(r"^Files:((?:.*\n)(?:[ \t].*\n)*)", stanza + "\n", re.MULTILINE)
        licence = re.search(r"^License:[ \t]*(.+)", stanza, re.MULTILINE)
        if not files:
            continue
        patterns = [pattern for pattern in files[1].split() if not pattern.startswith("debian/")]
        found = from_expression(licence[1]) if licence else None
        if found and patterns:
            names.update(found.split(" AND "))
        elif not found:
            excluded += patterns
    if not names or "*" in excluded:
        return None, ()
    return " AND ".join(sorted(names)), tuple(excluded)
