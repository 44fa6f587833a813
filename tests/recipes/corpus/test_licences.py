"""Which licences a package may have to be trained on."""

from __future__ import annotations

import pytest

from midfill.recipes.corpus.licences import (
    Excluded,
    from_classifiers,
    from_debian,
    from_expression,
    from_text,
)

MIT = """\
Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person
obtaining a copy of this software.

The above copyright notice and this permission notice shall be
included in all copies.
"""


@pytest.mark.parametrize(
    ("expression", "licence"),
    [
        ("MIT", "MIT"),
        ("mit license", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("BSD-3-Clause~Google", "BSD-3-Clause"),
        ("MIT OR GPL-2.0-only", "MIT"),
        ("(GPL-2.0-only OR MIT)", "MIT"),
        ("MIT/Apache-2.0", "MIT"),
        ("MIT AND Zlib", "MIT AND Zlib"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0"),
        ("(MIT OR Apache-2.0) AND BSD-3-Clause", "Apache-2.0 AND BSD-3-Clause AND MIT"),
    ],
)
def test_permissive_expressions_become_spdx_identifiers(expression: str, licence: str) -> None:
    """Names are those of SPDX, of classifiers and of Debian."""
    assert from_expression(expression) == licence


@pytest.mark.parametrize(
    "expression",
    [
        "GPL-3.0-or-later",
        "MIT AND GPL-2.0",
        "MPL-2.0",
        "",
        "see LICENSE",
        "(MIT OR Apache-2.0) AND GPL-2.0",
        "MIT OR (Apache-2.0 AND GPL-2.0)",
    ],
)
def test_other_expressions_are_refused(expression: str) -> None:
    """What is not known to be permissive is not."""
    assert from_expression(expression) is None


def test_every_classifier_has_to_be_permissive() -> None:
    """A second licence may hold for a part of the files."""
    mit = "License :: OSI Approved :: MIT License"
    gpl = "License :: OSI Approved :: GNU General Public License (GPL)"
    assert from_classifiers(["Topic :: Software", "License :: OSI Approved", mit]) == "MIT"
    assert from_classifiers([mit, gpl]) is None
    assert from_classifiers(["Topic :: Software"]) is None


def test_a_licence_is_known_by_its_sentences() -> None:
    """However its lines are broken, and not if another licence is named too."""
    assert from_text(MIT) == "MIT"
    assert from_text("\n".join(f"# {line}" for line in MIT.split("\n"))) == "MIT"
    assert from_text(MIT + "Parts are under the GNU Lesser General Public License.") is None
    assert from_text("All rights reserved.") is None


def test_bsd_is_told_with_and_without_its_third_clause() -> None:
    """The third forbids to advertise with the names."""
    two = "Redistribution and use in source and binary forms are permitted."
    three = two + " The name may not be used to endorse or promote products."
    assert from_text(two) == "BSD-2-Clause"
    assert from_text(three) == "BSD-3-Clause"


def test_a_debian_copyright_file_says_which_files_are_under_another_licence() -> None:
    """The packaging's own licence does not count, nor do the paragraphs that hold the texts."""
    said = (
        "Files: *\nLicense: Expat\n\n"
        "Files: src/jpeg/idct.c\n src/data/*\nLicense: MPEG\n\n"
        "Files: debian/*\nLicense: GPL-2+\n\n"
        "License: MPEG\n Text of it.\n"
    )
    licence, patterns = from_debian(said)
    assert licence == "MIT"
    assert patterns == ("src/jpeg/idct.c", "src/data/*")
    excluded = Excluded(patterns)
    assert excluded.has("jpeg/idct.c")
    assert excluded.has("data/table.c")
    assert not excluded.has("jpeg/fdct.c")
    assert not Excluded().has("jpeg/idct.c")


@pytest.mark.parametrize("said", ["Files: *\nLicense: GPL-2+\n", "It is free software.\n"])
def test_a_debian_package_without_a_permissive_licence_is_refused(said: str) -> None:
    """Also one whose copyright file a machine cannot read."""
    assert from_debian(said) == (None, ())
