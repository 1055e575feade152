"""Installed apps: one directory per bundle, named by its full hash, checked on every use.

A directory appears by one atomic rename, so a kill leaves either nothing or a whole app.  Nothing
of a bundle is written before all of it was verified.  Files that an app writes beside its own are
left alone, unless Python could import them.  An edited or incomplete directory is never used: the
app gets a fresh one beside it, and the old one goes when no process runs from it any more.
"""

import fcntl
import hashlib
import importlib.machinery
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from flwr.core.ids import FabHash
from flwr.fab.archive import expand
from flwr.fab.errors import AppsDirectoryError, FabInvalidError
from flwr.fab.manifest import AppManifest
from flwr.fab.verify import Content, VerifiedFab, verify_fab

_UNPACKING: Final = ".unpacking-"
_LOCK: Final = ".lock"
_BYTECODE: Final = "__pycache__"
_IMPORTABLE: Final = tuple(importlib.machinery.all_suffixes())
_FILE_MODE: Final = 0o444
_READ_STEP: Final = 1_048_576  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledApp:
    """An app on disk, equal to its bundle at the moment this was returned."""

    path: Path
    fab_hash: FabHash
    manifest: AppManifest
    files: frozenset[str]  # of the bundle, relative to ``path``


def install_fab(
    content: bytes,
    apps_dir: Path,
    *,
    expected_hash: FabHash | None = None,
) -> InstalledApp:
    """Make the app of a bundle available below ``apps_dir``.

    Safe to call from many processes at once.  What is installed already is compared, file by file,
    with the bundle and used only if it is equal.  The directory is kept for this process until it
    ends.

    Args:
        content: the bundle.
        apps_dir: created if missing.
        expected_hash: identity the caller was promised; None trusts the bytes' own hash.

    Raises:
        FabInvalidError: (or a sibling from ``fab.errors``) the bundle is refused; nothing written.
        AppsDirectoryError: the directory cannot be written.
    """
    fab = verify_fab(content, expected_hash=expected_hash)
    path = _take_intact(apps_dir, fab)
    if path is None:
        try:
            path = _install(content, fab, apps_dir)
        except OSError as cause:
            raise AppsDirectoryError(
                f"cannot install the app below {apps_dir}: {cause}",
                hint="check the directory's owner and the free space",
            ) from cause
    return InstalledApp(
        path=path, fab_hash=fab.fab_hash, manifest=fab.manifest, files=frozenset(fab.contents)
    )


def directory_name(fab: VerifiedFab) -> str:
    """Return the first directory of a bundle: readable, and unique by its full hash."""
    app = fab.manifest
    return f"{app.publisher}.{app.name}.{app.version}.{fab.fab_hash}"


def is_intact(target: Path, fab: VerifiedFab) -> bool:
    """Tell whether ``target`` holds the files of ``fab``, and nothing else that could be imported.

    Compiled bytecode is removed first: Python would run it in place of the checked source.
    """
    if not stat.S_ISDIR(_mode(target)):
        return False
    try:
        added = set(relative_files(target)) - fab.contents.keys()
        return not any(may_be_code(target / path) for path in added) and all(
            _equals(target / path, expected) for path, expected in fab.contents.items()
        )
    except OSError:
        return False


def relative_files(target: Path) -> Iterator[str]:
    """Yield everything below ``target`` that is no directory; drop bytecode on the way."""
    for folder, directories, files in os.walk(target, followlinks=False):
        if _BYTECODE in directories:
            directories.remove(_BYTECODE)
            _remove(Path(folder) / _BYTECODE)
        links = [name for name in directories if (Path(folder) / name).is_symlink()]
        for name in files + links:
            yield (Path(folder) / name).relative_to(target).as_posix()


def may_be_code(path: Path) -> bool:
    """Tell whether Python could import what is at ``path``, or it leads somewhere else."""
    return path.name.endswith(_IMPORTABLE) or not stat.S_ISREG(_mode(path))


def _equals(path: Path, expected: Content) -> bool:
    if not stat.S_ISREG(_mode(path)) or path.stat().st_size != expected.size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while step := file.read(_READ_STEP):
            digest.update(step)
    return digest.hexdigest() == expected.sha256


def _take_intact(apps_dir: Path, fab: VerifiedFab) -> Path | None:
    """Return an intact directory of ``fab``, kept for this process; None when there is none."""
    for path in _directories(apps_dir, fab):
        if (held := _hold(path, fcntl.LOCK_SH)) is None:
            continue
        if is_intact(path, fab):
            return path  # the lock ends with this process, and so it is never closed
        os.close(held)
    return None


def _install(content: bytes, fab: VerifiedFab, apps_dir: Path) -> Path:
    apps_dir.mkdir(parents=True, exist_ok=True)
    with _exclusive(apps_dir):
        if (path := _take_intact(apps_dir, fab)) is not None:  # another process was faster
            return path
        _sweep(apps_dir, fab)
        fresh = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=apps_dir))
        try:
            _unpack(content, fab, fresh)
            path = _free_name(apps_dir / directory_name(fab))
            fresh.rename(path)
            _hold(path, fcntl.LOCK_SH)
        finally:
            _sweep(apps_dir, fab)
    return path


def _directories(apps_dir: Path, fab: VerifiedFab) -> list[Path]:
    """Return what is installed of ``fab``: usually one directory, intact or not."""
    return sorted(apps_dir.glob(f"{directory_name(fab)}*"))


def _free_name(wanted: Path) -> Path:
    if not os.path.lexists(wanted):
        return wanted
    others = (wanted.with_name(f"{wanted.name}.{number}") for number in count(2))
    return next(path for path in others if not os.path.lexists(path))


def _hold(path: Path, lock: int) -> int | None:
    """Lock a directory and return the descriptor; None when it is none, or another has it."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(held, lock | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def _unpack(content: bytes, fab: VerifiedFab, into: Path) -> None:
    into.chmod(0o755)
    for entry in fab.entries:
        path = into / entry.path
        if not path.resolve().is_relative_to(into.resolve()):  # the path rules make it impossible
            raise FabInvalidError(f"{entry.path!r} leaves the app's directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for step in expand(content, entry):
                file.write(step)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(_FILE_MODE)


@contextmanager
def _exclusive(apps_dir: Path) -> Iterator[None]:
    with (apps_dir / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep(apps_dir: Path, fab: VerifiedFab) -> None:
    """Remove what killed installations left, and damaged directories no process runs from."""
    for left in apps_dir.glob(f"{_UNPACKING}*"):
        _remove(left)
    for path in _directories(apps_dir, fab):
        if not stat.S_ISDIR(_mode(path)):
            _remove(path)
        elif (held := _hold(path, fcntl.LOCK_EX)) is not None:
            if not is_intact(path, fab):
                _remove(path)
            os.close(held)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
