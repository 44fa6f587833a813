"""Secrets in texts: found in every kind of line, masked in place, hardly ever seen in others."""

from __future__ import annotations

import re
import sysconfig
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st
from planted_secrets import planted, tokens

from midfill.lsp_server.text import secrets
from midfill.lsp_server.text.secret_shapes import SHAPES, SecretShape
from midfill.lsp_server.text.secrets import masked, masked_part

if TYPE_CHECKING:
    from collections.abc import Iterator

PLANTED = planted()


def test_there_are_enough_kinds() -> None:
    """Tokens, passwords and keys."""
    assert len(PLANTED) >= 60


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_each_shape_finds_its_own_tokens(shape: SecretShape) -> None:
    """And all of them but what comes before the secret in an address."""
    for token in tokens()[shape.name]:
        match = re2.search(shape.regex, f'call("{token}")')
        assert match
        assert token.endswith(match[0])


@pytest.mark.parametrize("kind", PLANTED)
def test_a_secret_is_masked_where_it_stands(kind: str) -> None:
    """With as many characters and the same lines; what is around it stays."""
    lines, secret = PLANTED[kind]
    text = f"first = 1\r\n{lines}\nlast = 'é'\n"
    clean = masked(text, "python")
    assert secret not in clean
    assert len(clean) == len(text)
    assert [n for n, c in enumerate(clean) if c in "\r\n"] == [
        n for n, c in enumerate(text) if c in "\r\n"
    ]
    assert clean.startswith("first = 1\r\n")
    assert clean.endswith("last = 'é'\n")
    assert {clean[n] for n in range(len(text)) if clean[n] != text[n]} == {"*"}
    assert masked(clean, "python") == clean


@pytest.mark.parametrize("kind", PLANTED)
def test_a_secret_with_the_cursor_in_it_is_masked_on_both_sides(kind: str) -> None:
    """A part of it is judged with all that is around it."""
    lines, secret = PLANTED[kind]
    text = f"x = 1\n{lines}\ny = 2\n"
    whole = masked(text, "python")
    place = text.index(secret)
    for start in (0, place, place + 3):
        for end in (place + 4, place + len(secret), len(text)):
            part = masked_part(text[:start], text[start:end], text[end:], "python")
            assert part == whole[start:end]


@pytest.mark.parametrize(
    ("language_id", "line"),
    [
        ("shellscript", "export DB_PASSWORD=hunter2"),
        ("yaml", "  password: hunter2"),
        ("ini", "password = hunter2"),
        ("dockerfile", "ENV API_KEY hunter2"),
        ("properties", "app.secret=hunter2"),
        *((each, "password=hunter2") for each in ("dotenv", "env", "makefile", "plaintext")),
        *((each, "password = hunter2") for each in ("hcl", "terraform", "toml")),
        ("dockercompose", "password: hunter2"),
    ],
)
def test_values_without_quotes_are_masked_where_the_language_has_such(
    language_id: str, line: str
) -> None:
    """In others they are names."""
    assert masked(line, language_id) == line.replace("hunter2", "*******")
    assert masked(line, "python") == line


@pytest.mark.parametrize(
    "line",
    [
        'password = ""',
        'password = "xxxxxxxx"',
        'password = "changeme"',
        'password = "<your password>"',
        'password = "${DB_PASSWORD}"',
        'password = "your-api-key-1"',
        "password = getpass()",
        'password = os.environ["DB_PASSWORD"]',
        'password = input("Enter your password: ")',
        'password_file = "etc/app/pass1"',
        'token_url = "auth/token2"',
        'SECRET_NAME = "my-app-secret"',
        'raise ValueError("password must have 8 characters or more")',
        'tokens = ["if", "else1", "while"]',
        'if token == "STRING":',
        'key = "identifier"',
        'fields("password", "Sesame!Open")',
        "from secrets import token_hex",
        'sha = "0123"  # token',
        'url = "https://user@example.com/a:b"',
        'if line == "-----BEGIN PRIVATE KEY-----":\n    handleEncryptedPrivateKeysOfOthers()',
        'BEGIN = "-----BEGIN PRIVATE KEY-----"\nEND = "-----END PRIVATE KEY-----"',
    ],
)
def test_what_only_looks_like_a_secret_stays(line: str) -> None:
    """Placeholders, expressions, names, prompts."""
    assert masked(line, "python") == line


def test_the_second_of_two_texts_is_masked_if_it_has_a_digit() -> None:
    """Two names often stand beside each other, too."""
    assert (
        masked('login("password", "Sesame!0pen")', "python") == 'login("password", "***********")'
    )


def test_a_private_key_without_an_end_is_masked_to_its_last_line() -> None:
    """A file is often cut there."""
    body = ["A1b2" * 16, "C3d4" * 16]
    text = "\n".join(["-----BEGIN PRIVATE KEY-----", *body, "", "x = 1"])
    assert masked(text, "python") == re.sub("(A1b2|C3d4)", "****", text)


def clean_files() -> Iterator[str]:
    """Sources of Python itself and of installed packages, without tests."""
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    for place in places:
        found = (path for path in sorted(place.rglob("*.py")) if "test" not in str(path))
        inner = (path for path in found if place is places[1] or "site-packages" not in path.parts)
        texts = (path.read_bytes() for path in inner if path.stat().st_size < 1 << 16)
        yield from islice((text.decode("utf-8", "replace") for text in texts), 600)


def test_of_a_thousand_clean_files_hardly_any_is_touched() -> None:
    """Under one in a hundred."""
    texts = list(clean_files())
    touched = sum(masked(text, "python") != text for text in texts)
    assert len(texts) >= 1000
    assert touched < len(texts) / 100


@given(st.text(), st.sampled_from(["python", "yaml"]), st.sampled_from([*PLANTED]), st.text())
def test_any_text_keeps_its_length_and_lines(
    before: str, language_id: str, kind: str, after: str
) -> None:
    """Whatever stands around a secret, halves of characters too."""
    text = f"{before}\ud800\n{PLANTED[kind][0]}\n{after}"
    clean = masked(text, language_id)
    assert len(clean) == len(text)
    assert PLANTED[kind][1] not in clean
    assert all(a == b or b == "*" for a, b in zip(text, clean, strict=True))


def test_a_keystroke_looks_at_one_line() -> None:
    """The others are known."""
    text = "".join(f"value_{n} = call({n})\n" for n in range(500))
    masked(text, "python")
    looked = secrets._masked_line.cache_info().misses
    masked(text.replace("call(7)", "call(77)"), "python")
    assert secrets._masked_line.cache_info().misses == looked + 1
