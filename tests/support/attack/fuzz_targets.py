"""Readers of what others wrote, each as a function of any bytes: it returns, or there is a fault.

A typed error is an answer, so it is no fault. Corpora lie in ``tests/data/fuzz``, a folder for each
target; ``tests/fuzz/run.py`` looks for further inputs.
"""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from git_oracle import GitOracle
from lsprotocol import types
from text_reference import Client, Pieces

from midfill.engine.tokens.bpe import ByteLevelBpe
from midfill.engine.tokens.sentencepiece import SentencePieceTokenizer
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.lsp_server.context.imports import references, resolve
from midfill.lsp_server.context.look import Look
from midfill.lsp_server.context.workspace_files import WorkspaceFiles
from midfill.lsp_server.text.documents import Documents, OutOfSyncError, PositionEncoding
from midfill.lsp_server.text.git_patterns import Patterns
from midfill.lsp_server.text.languages import language
from midfill.lsp_server.wire.frames import Frame, Frames
from midfill.weights.architecture import BytePairVocabulary, SentencePieceModel
from midfill.weights.errors import MidfillError
from midfill.weights.formats import gguf, safetensors
from midfill.weights.formats.strict import Metadata
from midfill.weights.formats.tokenizer.folder import read_json_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from midfill.engine.tokens.tokenizer import Tokenizer

URI = "file:///project/a.py"
TEXT = "def f(a_1):\n\treturn 'é漢😀' + \"\u2581\" # 12\r\n"
LANGUAGES = ("python", "javascript", "go", "rust", "c", "java")
NAMES = ("a", "ab", "a/b", "b/a", "a/a/b", "-", "]", "a b", "é", "x.py", "src/x.py", "a/b/c/d/e")
GOOD = b"Content-Length: 2\r\n\r\n{}"


def frames(data: bytes, place: Path) -> None:
    """The same messages however the bytes are cut, and whatever came before."""
    whole = _messages([data])
    assert _messages(data[i : i + 1] for i in range(len(data))) == whole
    assert _messages([data[: len(data) // 2], data[len(data) // 2 :]]) == whole
    assert _messages([GOOD + data]) == [b"{}", *whole]


def text_model(data: bytes, place: Path) -> None:
    """The text of a client that makes the same edits, in each encoding of positions."""
    pieces = Pieces(data)
    client = Client(pieces.text(), pieces.choice(list(PositionEncoding)))
    documents = Documents(client.encoding)
    documents.open(types.TextDocumentItem(URI, "python", 0, client.text))
    for version in itertools.count(1):
        if pieces.is_empty:
            break
        changes = [client.change(pieces) for _ in range(1 + pieces.byte() % 3)]
        expected = client.apply(changes)
        try:
            found = documents.change(URI, version, changes).text
        except OutOfSyncError:
            found = None
        assert found == expected, (changes, found, expected)
        if found is None:
            whole = types.TextDocumentContentChangeWholeDocument(client.text)
            documents.change(URI, version, [whole])
        client.compare_positions(documents.get(URI))


def git_ignore(data: bytes, place: Path) -> None:
    """What git says of the same files."""
    top = place / "repository"
    if not (top / ".git").exists():
        GitOracle.make(top)
    names, _, patterns = data.partition(b"\0")
    with _only_typed():
        asked = [*NAMES, *_relative_names(names)]
        with GitOracle.ignore_file(top, patterns) as (folder, oracle):
            files = WorkspaceFiles([top], exclude=())
            files._permissions._exclude = files._permissions._private = _NOTHING  # only git's
            ours = {name for name in asked if not files.allows(folder / name)}
            theirs = set(oracle.ignored(folder, asked))
    assert ours == theirs, (patterns, ours ^ theirs)


def imports(data: bytes, place: Path) -> None:
    """Files below the workspace, found in time."""
    root = place / "workspace"
    if not root.exists():
        _make_workspace(root)
    spoken = language(LANGUAGES[data[0] % len(LANGUAGES)] if data else "python")
    look = Look()
    found = references(data[1:].decode("utf-8", "surrogateescape"), spoken)
    for file in resolve(found, root / "src" / "main.py", spoken, root, look):
        assert file.path.is_file()
        assert file.path.resolve().is_relative_to(root) or "outside" in file.path.name
    odd = [skip for skip in look.skipped.all if "Error: " in skip.why]
    assert not [skip for skip in odd if not skip.why.startswith(("ValueError", "Unicode"))], odd


def gguf_file(data: bytes, place: Path) -> None:
    """A checkpoint whose tensors and tokenizer can be read."""
    file = place / "model.gguf"
    file.write_bytes(data)
    with _only_typed():
        checkpoint = gguf.read_checkpoint(file, "fuzzed")
        for tensor in checkpoint.tensors.values():
            assert tuple(tensor.read(torch.float32).shape) == tensor.shape
            tensor.blocks()
        assert isinstance(checkpoint.tokenizer, BytePairVocabulary)
        _use(ByteLevelBpe(checkpoint.tokenizer))


def safetensors_file(data: bytes, place: Path) -> None:
    """Tensors of the promised shapes."""
    file = place / "model.safetensors"
    file.write_bytes(data)
    with _only_typed():
        for tensor in safetensors.open_file(file).values():
            assert tuple(tensor.read(torch.float32).shape) == tensor.shape


def tokenizer_json(data: bytes, place: Path) -> None:
    """A tokenizer that keeps text, but for bytes that it has no token for."""
    file = place / "tokenizer.json"
    file.write_bytes(data)
    with _only_typed():
        _use(
            open_tokenizer(read_json_file(file, Metadata(Path("config.json"), {}), frozenset({0})))
        )


def tokenizer_model(data: bytes, place: Path) -> None:
    """The same of SentencePiece."""
    with _only_typed():
        _use(SentencePieceTokenizer(SentencePieceModel(data, bos_id=1, eos_ids=frozenset({2}))))


TARGETS: Mapping[str, Callable[[bytes, Path], None]] = {
    "frames": frames,
    "text_model": text_model,
    "git_ignore": git_ignore,
    "imports": imports,
    "gguf": gguf_file,
    "safetensors": safetensors_file,
    "tokenizer_json": tokenizer_json,
    "tokenizer_model": tokenizer_model,
}


def _only_typed() -> suppress:
    return suppress(MidfillError)


def _messages(pieces: Iterable[bytes]) -> list[Frame]:
    reader = Frames()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def _use(tokenizer: Tokenizer) -> None:
    """Encode a text, decode it, and append to it."""
    ids = tokenizer.encode(TEXT, leading_space=False)
    singles = {tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)}
    kept = b"".join(bytes([b]) for b in TEXT.encode() if bytes([b]) in singles)
    assert b"".join(map(tokenizer.token_bytes, ids)) in (kept, TEXT.encode())
    stable = ids[: tokenizer.stable_length(TEXT, ids)]
    assert tokenizer.encode(TEXT + "x\n", leading_space=False)[: len(stable)] == stable


_NOTHING = Patterns((), lambda *_: None)


def _relative_names(data: bytes) -> list[str]:
    """The names in some lines that git takes for files of the repository."""
    names = (line.decode("utf-8", "replace") for line in data.split(b"\n")[:4])
    return [
        name
        for name in names
        if 0 < len(name) < 60
        and all(part not in ("", ".", "..") for part in name.split("/"))
        and ".git" not in name.lower()
        and name.isprintable()
        and "\\" not in name
    ]


def _make_workspace(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for name in ("a.py", "b/__init__.py", "b/c.py", "x.js", "x/index.ts", "y.h", "go.mod"):
        for top in (root, root / "src"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text("module m\n" if name == "go.mod" else "a = 1\n")
    for name in ("m/m.go", "src/m.rs", "src/b/mod.rs", "src/main/java/a/B.java", "Cargo.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("a\n")
    (root.parent / "outside.py").write_text("a = 1\n")
    (root / "outside.py").symlink_to(root.parent / "outside.py")
