"""The directory of a node's state: for one process alone, with the key of a node given none."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flwr.auth.node_keys import NodeKey, load_node_key, new_node_key
from flwr.core.errors import ErrorKind, FlwrError
from flwr.crypto.ecdsa import private_pem
from flwr.shell.private_files import StateDirError, write_private


class StateDirInUseError(FlwrError):
    """Another SuperNode works with the same directory."""

    kind = ErrorKind.FAILED_PRECONDITION

    def __init__(self, path: Path) -> None:
        """Name the directory."""
        super().__init__(
            f"another SuperNode uses the state directory {path}",
            hint="give every SuperNode a directory of its own, or wait until the other has ended",
        )


@contextmanager
def state_directory(given: Path | None) -> Iterator[Path]:
    """Yield the directory of the node's state, for this process alone.

    Without a given one it is temporary and gone at the end.

    Raises:
        StateDirError: it cannot be written.
        StateDirInUseError: another process has it.
    """
    if given is None:
        with tempfile.TemporaryDirectory(prefix="flwr-supernode-") as made:
            yield Path(made)
        return
    try:
        given.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock = os.open(given / "supernode.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as cause:
        raise StateDirError(given, cause.strerror or str(cause)) from cause
    try:
        _lock_alone(lock, given)
        yield given
    finally:
        os.close(lock)


def own_key(state_dir: Path) -> NodeKey:
    """Return the key of a node that was given none; made at its first start.

    Raises:
        KeyFileError: the kept key is damaged.
        StateDirError: it cannot be written.
    """
    path = state_dir / "node.key"
    if not path.exists():
        write_private(path, private_pem(new_node_key().private))
    return load_node_key(path)


def _lock_alone(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        raise StateDirInUseError(directory) from cause
