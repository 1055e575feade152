"""Installed apps: one directory per bundle, named by its full hash, checked on every use.

A directory appears by one atomic rename, so a kill leaves either nothing or a whole app; an edited
or incomplete one is replaced.  Nothing of a bundle is written before all of it was verified.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.core.ids import FabHash
from flwr.fab.archive import expand
from flwr.fab.errors import AppsDirectoryError, FabInvalidError
from flwr.fab.manifest import AppManifest
from flwr.fab.verify import Content, VerifiedFab, verify_fab

_UNPACKING: Final = ".unpacking-"
_REPLACED: Final = ".replaced-"
_LOCK: Final = ".lock"
_BYTECODE: Final = "__pycache__"
_FILE_MODE: Final = 0o444
_READ_STEP: Final = 1_048_576  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledApp:
    """An app on disk, equal to its bundle at the moment this was returned."""

    path: Path
    fab_hash: FabHash
    manifest: AppManifest


def install_fab(
    content: bytes,
    apps_dir: Path,
    *,
    expected_hash: FabHash | None = None,
) -> InstalledApp:
    """Make the app of a bundle available below ``apps_dir``.

    Safe to call from many processes at once.  What is installed already is compared, file by file,
    with the bundle and used only if it is equal.

    Args:
        content: the bundle.
        apps_dir: created if missing.
        expected_hash: identity the caller was promised; None trusts the bytes' own hash.

    Raises:
        FabInvalidError: (or a sibling from ``fab.errors``) the bundle is refused; nothing written.
        AppsDirectoryError: the directory cannot be written.
    """
    fab = verify_fab(content, expected_hash=expected_hash)
    target = apps_dir / directory_name(fab)
    if not is_intact(target, fab):
        try:
            _replace(content, fab, target)
        except OSError as cause:
            raise AppsDirectoryError(
                f"cannot install the app below {apps_dir}: {cause}",
                hint="check the directory's owner and the free space",
            ) from cause
    return InstalledApp(path=target, fab_hash=fab.fab_hash, manifest=fab.manifest)


def directory_name(fab: VerifiedFab) -> str:
    """Return the directory of a bundle: readable, and unique by its full hash."""
    app = fab.manifest
    return f"{app.publisher}.{app.name}.{app.version}.{fab.fab_hash}"


def is_intact(target: Path, fab: VerifiedFab) -> bool:
    """Tell whether ``target`` holds exactly the files of ``fab``.

    Compiled bytecode is removed first: Python would run it in place of the checked source.
    """
    if not stat.S_ISDIR(_mode(target)):
        return False
    try:
        found = set(_relative_files(target))
        return found == fab.contents.keys() and all(
            _equals(target / path, expected) for path, expected in fab.contents.items()
        )
    except OSError:
        return False


def _relative_files(target: Path) -> Iterator[str]:
    """Yield everything below ``target`` that is no directory; drop bytecode on the way."""
    for folder, directories, files in os.walk(target, followlinks=False):
        if _BYTECODE in directories:
            directories.remove(_BYTECODE)
            _remove(Path(folder) / _BYTECODE)
        links = [name for name in directories if (Path(folder) / name).is_symlink()]
        for name in files + links:
            yield (Path(folder) / name).relative_to(target).as_posix()


def _equals(path: Path, expected: Content) -> bool:
    if not stat.S_ISREG(_mode(path)) or path.stat().st_size != expected.size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while step := file.read(_READ_STEP):
            digest.update(step)
    return digest.hexdigest() == expected.sha256


def _replace(content: bytes, fab: VerifiedFab, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(target.parent):
        if is_intact(target, fab):  # another process was faster
            return
        _sweep(target.parent)
        fresh = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=target.parent))
        try:
            _unpack(content, fab, fresh)
            if os.path.lexists(target):
                target.rename(target.with_name(f"{_REPLACED}{fresh.name}"))
            fresh.rename(target)
        finally:
            _sweep(target.parent)


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


def _sweep(apps_dir: Path) -> None:
    """Remove what killed installations left; the lock says that nobody is using it."""
    for pattern in (f"{_UNPACKING}*", f"{_REPLACED}*"):
        for left in apps_dir.glob(pattern):
            _remove(left)


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
